import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads the first COUNT records of a topic with CloudEvents' SDK for Java, and prints each event as a line of JSON: BROKERS
 * TOPIC COUNT.
 */
public class ReadCloudEvents {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = Map.of(
            "bootstrap.servers", args[0], "group.id", "sdk-java", "auto.offset.reset", "earliest", "enable.auto.commit", "false",
            "isolation.level", "read_committed");
        ObjectMapper json = new ObjectMapper();
        int left = Integer.parseInt(args[2]);
        long until = System.currentTimeMillis() + 60_000;
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new CloudEventDeserializer())) {
            consumer.subscribe(List.of(args[1]));
            while (left > 0 && System.currentTimeMillis() < until) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    CloudEvent event = record.value();
                    ObjectNode line = json.createObjectNode();
                    ObjectNode attributes = line.putObject("attributes");
                    for (String name : event.getAttributeNames()) {
                        attributes.put(name, event.getAttribute(name).toString());
                    }
                    for (String name : event.getExtensionNames()) {
                        attributes.put(name, event.getExtension(name).toString());
                    }
                    line.set("data", json.readTree(event.getData().toBytes()));
                    System.out.println(json.writeValueAsString(line));
                    left--;
                }
            }
        }
        System.exit(left == 0 ? 0 : 1);
    }
}

import co.elastic.clients.elasticsearch.indices.PutIndexTemplateRequest;
import co.elastic.clients.elasticsearch.ingest.PutPipelineRequest;
import co.elastic.clients.json.JsonpUtils;
import co.elastic.clients.json.SimpleJsonpMapper;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Loads an ingest pipeline and an index template with Elasticsearch's client, and prints what it understands as two lines of JSON. A member
 * that it does not know is an error.
 *
 * <p>LoadElasticsearch PIPELINE TEMPLATE
 */
class LoadElasticsearch {
    public static void main(String[] arguments) throws Exception {
        var strict = new SimpleJsonpMapper(false);
        try (var file = Files.newInputStream(Path.of(arguments[0]))) {
            var parser = strict.jsonProvider().createParser(file);
            System.out.println(JsonpUtils.toJsonString(
                PutPipelineRequest.of(request -> request.id("incidentd").withJson(parser, strict)), strict));
        }
        try (var file = Files.newInputStream(Path.of(arguments[1]))) {
            var parser = strict.jsonProvider().createParser(file);
            System.out.println(JsonpUtils.toJsonString(
                PutIndexTemplateRequest.of(request -> request.name("incidentd").withJson(parser, strict)), strict));
        }
    }
}

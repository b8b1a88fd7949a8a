{{- define "incidentd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "incidentd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of the Job that moves the ledger. The full name has 52 characters at most, and a label's value 63. */}}
{{- define "incidentd.move.name" -}}
{{- printf "%s-move" (include "incidentd.fullname" .) -}}
{{- end -}}

{{- define "incidentd.selector" -}}
app.kubernetes.io/name: {{ include "incidentd.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "incidentd.labels" -}}
{{ include "incidentd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "incidentd.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "incidentd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the ServiceAccount, or set serviceAccount.create=true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "incidentd.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Where the daemon listens: all addresses of the pod, if config.http.listen does not say otherwise. */}}
{{- define "incidentd.listen" -}}
{{- default (printf "[::]:%d" (int .Values.service.port)) (default dict .Values.config.http).listen -}}
{{- end -}}

{{/* The port in force: it is the container's, which the service's port leads to. */}}
{{- define "incidentd.port" -}}
{{- include "incidentd.listen" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{- define "incidentd.ledger.kind" -}}
{{- default "kafka" (default dict .Values.config.ledger).kind -}}
{{- end -}}

{{/* With a local ledger, and without replicas while the ledger moves, in either direction: its claim must outlive the move. */}}
{{- define "incidentd.statefulset" -}}
{{- or .Values.moveLedger (eq (include "incidentd.ledger.kind" .) "local") -}}
{{- end -}}

{{- define "incidentd.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 1 3 (eq (include "incidentd.ledger.kind" .) "local") -}}
{{- else -}}
{{- int .Values.replicas -}}
{{- end -}}
{{- end -}}

{{/* The keys of [ledger] as YAML, for a kind of ledger: (list . "kafka"). Two releases on one Kafka must share neither topic nor
     group, so both begin with the release's name. */}}
{{- define "incidentd.ledger" -}}
{{- $all := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $keys := default dict $all.Values.config.ledger -}}
{{- $name := include "incidentd.fullname" $all -}}
kind: {{ $kind }}
{{- if eq $kind "local" }}
path: /var/lib/incidentd/ledger
{{- else }}
topic: {{ default (printf "%s.ledger" $name) $keys.topic | quote }}
group: {{ default $name $keys.group | quote }}
{{- with $keys.partitions }}
partitions: {{ int . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a claim for the local ledger asks for. */}}
{{- define "incidentd.claim" -}}
accessModes:
  {{- toYaml .Values.persistence.accessModes | nindent 2 }}
{{- with .Values.persistence.storageClassName }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size | quote }}
{{- end -}}

{{/* One value of TOML. Helm reads every number as a float; a whole one must stay an integer here. A JSON string is a TOML
     string: both escape the same way. */}}
{{- define "incidentd.toml.value" -}}
{{- if kindIs "string" . -}}
{{ toJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else if kindIs "slice" . -}}
[{{ range $n, $value := . }}{{ if $n }}, {{ end }}{{ include "incidentd.toml.value" $value }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- $first := true -}}{{ range $key, $value := . }}{{ if not (kindIs "invalid" $value) }}{{ if not $first }},{{ end }} {{ toJson $key }} = {{ include "incidentd.toml.value" $value }}{{ $first = false }}{{ end }}{{ end }} }
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The keys of one table that are set: null takes a default of values.yaml away. */}}
{{- define "incidentd.toml.keys" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ toJson $key }} = {{ include "incidentd.toml.value" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* incidentd.toml. Sections in alphabetical order, so that equal values give equal bytes. */}}
{{- define "incidentd.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $http := deepCopy (default dict $config.http) -}}
{{- $_ := set $http "listen" (include "incidentd.listen" .) -}}
{{- if not $http.hosts -}}
{{- $service := include "incidentd.fullname" . -}}
{{- $namespace := printf "%s.%s" $service .Release.Namespace -}}
{{- $_ := set $http "hosts" (list $service $namespace (printf "%s.svc" $namespace) (printf "%s.svc.cluster.local" $namespace)) -}}
{{- end -}}
{{- if not $http.socket -}}
{{- $_ := set $http "socket" "/run/incidentd/control.sock" -}}
{{- end -}}
{{- $_ := set $config "http" $http -}}
{{- $_ := set $config "ledger" (include "incidentd.ledger" (list . (include "incidentd.ledger.kind" .)) | fromYaml) -}}
# Made by the chart incidentd from its values: change those, not this.
tenants_dir = "/etc/incidentd-tenants"
{{- range $section, $keys := $config }}
{{- if not (kindIs "invalid" $keys) }}

[{{ $section }}]
{{- include "incidentd.toml.keys" (omit $keys "properties") }}
{{- with $keys.properties }}

[{{ $section }}.properties]
{{- include "incidentd.toml.keys" . }}
{{- end }}
{{- end }}
{{- end }}
{{ end -}}

{{/* The customers of .Values.tenants as a file. */}}
{{- define "incidentd.tenants" -}}
# Made by the chart incidentd from its values: change those, not this.
{{- range .Values.tenants }}

[[tenants]]
{{- include "incidentd.toml.keys" . }}
{{- end }}
{{ end -}}

{{/* Refuses a proxy with user info: whoever may read ConfigMaps would read its password. */}}
{{- define "incidentd.validate.proxy" -}}
{{- if contains "@" (default "" .proxy) -}}
{{- fail (printf "%s: user and password don't belong into a ConfigMap: set INCIDENTD__API__PROXY through extraEnv, with a valueFrom of a Secret" .at) -}}
{{- end -}}
{{- end -}}

{{/* Refuses replicas that would have nothing to do, and an upgrade that would begin an empty ledger beside the one in use: one
     that is not moved, or whose move has not succeeded yet. */}}
{{- define "incidentd.validate.ledger" -}}
{{- $kind := include "incidentd.ledger.kind" . -}}
{{- $replicas := include "incidentd.replicas" . | int -}}
{{- $partitions := default dict .Values.config.ledger | dig "partitions" 32 | default 32 | int -}}
{{- if and (eq $kind "kafka") (gt $replicas $partitions) -}}
{{- fail (printf "replicas: %d replicas share %d partitions of the ledger, so some would have none: set replicas to %d or less" $replicas $partitions $partitions) -}}
{{- end -}}
{{- $other := ternary "Deployment" "StatefulSet" (eq $kind "local") -}}
{{- $running := lookup "apps/v1" $other .Release.Namespace (include "incidentd.fullname" .) -}}
{{- if gt (dig "spec" "replicas" 0 $running | int) 0 -}}
{{- if not .Values.moveLedger -}}
{{- fail (printf "config.ledger.kind: this release runs with the other kind of ledger, and %s would begin an empty one and publish all of the last poll.lookback again: set moveLedger=true for one upgrade, or scale the %s to 0 first to begin anew" $kind $other) -}}
{{- else if eq $other "Deployment" -}}
{{- fail "moveLedger: what replicas publish while their ledger is exported would be published again: scale the Deployment to 0, and wait until its pods are gone" -}}
{{- end -}}
{{- end -}}
{{- $move := include "incidentd.move.name" . -}}
{{- $job := lookup "batch/v1" "Job" .Release.Namespace $move -}}
{{- if and $job (eq (dig "status" "succeeded" 0 $job | int) 0) -}}
{{- fail (printf "moveLedger: the Job %s has not moved the ledger, and the daemon would begin an empty one and publish all of the last poll.lookback again: wait until it is complete; if it failed, read its log, delete it, and upgrade with moveLedger=true again" $move) -}}
{{- end -}}
{{- end -}}

{{/* Refuses credentials of two kinds, as the daemon does, and files of a Secret that is not mounted. values.yaml gives one kind by
     default. A secret in Key Vault has the identity beside it that opens the vault. */}}
{{- define "incidentd.validate.credential" -}}
{{- $app := default dict .Values.config.app -}}
{{- $unmounted := list -}}
{{- range $key := list "client_secret_next_file" "certificate_file" "certificate_key_file" "client_secret_file" -}}
{{- if and (hasPrefix "/run/secrets/incidentd/" (default "" (get $app $key))) (not $.Values.secret.name) -}}
{{- $unmounted = append $unmounted $key -}}
{{- end -}}
{{- end -}}
{{- $given := list -}}
{{- range $key := list "client_secret_file" "client_secret_env" "client_secret_next_file" "federated_token_file" "certificate_file" "key_vault_secret" "managed_identity" -}}
{{- $goes_with_first := and (eq $key "client_secret_next_file") $given -}}
{{- if and (get $app $key) (not $goes_with_first) -}}
{{- $given = append $given $key -}}
{{- end -}}
{{- end -}}
{{- if has "key_vault_secret" $given -}}
{{- $given = without $given (has "managed_identity" $given | ternary "managed_identity" "federated_token_file") -}}
{{- end -}}
{{- range $key := without $unmounted "client_secret_file" -}}
{{- fail (printf "secret.name: name the Secret that holds the file of config.app.%s" $key) -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- fail (printf "config.app.%s and config.app.%s are two credentials, and an app has one: set config.app.%s to null, or the other" (first $given) (last $given) (first $given)) -}}
{{- end -}}
{{- if $unmounted -}}
{{- fail "secret.name: name the Secret that holds the client secret (kubectl create secret generic NAME --from-file=client-secret), or set config.app.client_secret_file to null and use config.app.federated_token_file" -}}
{{- end -}}
{{- end -}}

{{/* Refuses labels that the chart sets itself: a key that is there twice has one of two values. */}}
{{- define "incidentd.validate.labels" -}}
{{- $own := include "incidentd.labels" . | fromYaml -}}
{{- if .Values.workloadIdentity.enabled -}}
{{- $_ := set $own "azure.workload.identity/use" "true" -}}
{{- end -}}
{{- range $key, $_ := .Values.podLabels -}}
{{- if hasKey $own $key -}}
{{- fail (printf "podLabels: the chart sets %s itself: remove it from podLabels" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What can't be said in values.schema.json. */}}
{{- define "incidentd.validate" -}}
{{- $app := default dict .Values.config.app -}}
{{- include "incidentd.validate.ledger" . -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: set one of the two, or Prometheus reads everything twice" -}}
{{- end -}}
{{- if not (or .Values.tenants .Values.tenantsConfigMaps) -}}
{{- fail "tenants: name at least one customer, here or in one of tenantsConfigMaps" -}}
{{- end -}}
{{- if and .Values.workloadIdentity.enabled (not $app.federated_token_file) -}}
{{- fail "workloadIdentity.enabled: set config.app.federated_token_file to /var/run/secrets/azure/tokens/azure-identity-token, and config.app.client_secret_file to null" -}}
{{- end -}}
{{- include "incidentd.validate.credential" . -}}
{{- include "incidentd.validate.labels" . -}}
{{- $listen := include "incidentd.listen" . -}}
{{- if not (regexMatch ":[1-9][0-9]*$" $listen) -}}
{{- fail "config.http.listen: give an address and a port, for example 0.0.0.0:9464" -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]|\\[::ffff:127\\.)" (lower $listen) -}}
{{- fail "config.http.listen: neither probes nor Prometheus reach the loopback of a pod: use [::]:9464 or 0.0.0.0:9464" -}}
{{- end -}}
{{- include "incidentd.validate.proxy" (dict "at" "config.api.proxy" "proxy" (default dict .Values.config.api).proxy) -}}
{{- range $n, $tenant := .Values.tenants -}}
{{- include "incidentd.validate.proxy" (dict "at" (printf "tenants[%d].api.proxy" $n) "proxy" (default dict $tenant.api).proxy) -}}
{{- end -}}
{{- range $name, $value := (default dict .Values.config.kafka.properties) -}}
{{- $is_path := regexMatch "\\.(file|location)$" (lower $name) -}}
{{- if and (regexMatch "password|passphrase|secret|key\\.pem" (lower $name)) (not $is_path) -}}
{{- fail (printf "config.kafka.properties: %s is a secret and doesn't belong into a ConfigMap: use kafkaPassword, or extraEnv with a valueFrom" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

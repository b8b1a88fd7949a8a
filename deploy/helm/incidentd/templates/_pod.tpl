{{/* What the Deployment and the StatefulSet have in common: a pod that runs the daemon. */}}
{{- define "incidentd.pod" -}}
{{- $local := eq (include "incidentd.ledger.kind" .) "local" -}}
metadata:
  labels:
    {{- include "incidentd.labels" . | nindent 4 }}
    {{- with include "incidentd.labels.own" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- include "incidentd.identity" . | nindent 2 }}
  containers:
    - name: incidentd
      image: {{ include "incidentd.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run]
      {{- with include "incidentd.env" . }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ include "incidentd.port" . }}
      # A large local ledger that is put right after a node was lost takes its time.
      startupProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # With the ledger in Kafka: this replica is in the group, and every partition that it owns is restored.
      readinessProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "incidentd.rights" . | nindent 8 }}
      volumeMounts:
        {{- include "incidentd.mounts" . | nindent 8 }}
        # Of the commands pause, resume and backfill.
        - { name: run, mountPath: /run/incidentd }
        {{- if $local }}
        - { name: ledger, mountPath: /var/lib/incidentd }
        {{- end }}
  volumes:
    {{- include "incidentd.volumes" . | nindent 4 }}
    - name: run
      emptyDir: { medium: Memory, sizeLimit: 1Mi }
  {{- if not $local }}
  # Replicas lie apart where they can. Only those of the newest template count, so that a rolling update spreads, too.
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "incidentd.selector" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- with include "incidentd.place" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "incidentd.labels.own" -}}
{{- if .Values.workloadIdentity.enabled -}}
azure.workload.identity/use: "true"
{{ end }}
{{- with .Values.podLabels -}}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pod's rights, and where its image comes from. */}}
{{- define "incidentd.identity" -}}
serviceAccountName: {{ include "incidentd.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Of the mounted secrets, and of a local ledger's volume.
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* The container's rights. */}}
{{- define "incidentd.rights" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "incidentd.env" -}}
{{- with .Values.kafkaPassword.secretName -}}
- name: INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $.Values.kafkaPassword.key | quote }}
{{ end }}
{{- with .Values.extraEnv -}}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The configuration and its secrets, in the container. */}}
{{- define "incidentd.mounts" -}}
- { name: config, mountPath: /etc/incidentd, readOnly: true }
- { name: tenants, mountPath: /etc/incidentd-tenants, readOnly: true }
{{- if .Values.secret.name }}
- { name: secrets, mountPath: /run/secrets/incidentd, readOnly: true }
{{- end }}
{{- end -}}

{{/* The volumes of these mounts. */}}
{{- define "incidentd.volumes" -}}
- name: config
  configMap:
    name: {{ include "incidentd.fullname" . | quote }}
- name: tenants
  projected:
    sources:
      - configMap:
          name: {{ printf "%s-tenants" (include "incidentd.fullname" .) | quote }}
      {{- range .Values.tenantsConfigMaps }}
      - configMap:
          name: {{ . | quote }}
      {{- end }}
{{- if .Values.secret.name }}
- name: secrets
  secret:
    secretName: {{ .Values.secret.name | quote }}
    # Read through the group, fsGroup.
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* Which nodes a pod may run on. */}}
{{- define "incidentd.place" -}}
{{- $place := dict -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- with index $.Values $key -}}
{{- $_ := set $place $key . -}}
{{- end -}}
{{- end -}}
{{- with $place -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}

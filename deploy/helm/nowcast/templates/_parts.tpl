{{/* Name of a part: RELEASE-nowcast-PART, without "nowcast" twice. */}}
{{- define "nowcast.name" -}}
{{- $base := ternary .root.Release.Name (printf "%s-nowcast" .root.Release.Name) (contains "nowcast" .root.Release.Name) -}}
{{- printf "%s-%s" ($base | trunc 45 | trimSuffix "-") .part -}}
{{- end -}}

{{- define "nowcast.selector" -}}
app.kubernetes.io/name: nowcast
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "nowcast.labels" -}}
{{ include "nowcast.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "nowcast.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "nowcast.name" (dict "root" . "part" "parts")) -}}
{{- end -}}

{{- define "nowcast.claim" -}}
{{- .Values.storage.existingClaim | default (include "nowcast.name" (dict "root" . "part" "live")) -}}
{{- end -}}

{{/*
Replicas of a part: those of its values, else 2 with a database server and 1 without. SQLite is of one node alone: a
second pod may be on another one.
*/}}
{{- define "nowcast.replicas" -}}
{{- $server := ne .root.Values.database.url "" -}}
{{- $wanted := .values.replicas -}}
{{- if kindIs "invalid" $wanted }}{{ $wanted = ternary 2 1 $server }}{{ end -}}
{{- if and (not $server) (gt (int $wanted) 1) }}
{{- fail (printf "%s.replicas: expected 1 without database.url, got %d: SQLite is of one node alone" .part (int $wanted)) }}
{{- end -}}
{{- $wanted -}}
{{- end -}}

{{/*
The Deployment of a part. Of `.`: root, part (component), values (its values), command (a list), check (the name of the
part for `service.healthcheck`), replicas, recreate (one at a time, never two), tag (of the image), env and mounts
(further ones, as text), volumes.
*/}}
{{- define "nowcast.deployment" -}}
{{- $root := .root -}}
{{- $metrics := ternary (int $root.Values.metrics.port) 0 (has .check (list "worker" "alerts")) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "nowcast.name" . }}
  labels: {{- include "nowcast.labels" . | nindent 4 }}
spec:
  {{- if not (eq (toString .replicas) "none") }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    {{- if .recreate }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
    {{- end }}
  selector:
    matchLabels: {{- include "nowcast.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "nowcast.labels" . | nindent 8 }}
      annotations:
        {{- with $root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        nowcast/settings: {{ toJson (list $root.Values.settings $root.Values.redis $root.Values.database $root.Values.files) | sha256sum }}
    spec:
      serviceAccountName: {{ include "nowcast.serviceAccount" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .grace | default 30 }}
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if not .recreate }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "nowcast.selector" . | nindent 14 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .part }}
          image: "{{ $root.Values.image.repository }}:{{ .tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}"
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: {{ toJson .command }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          env:
            - {name: NOWCAST_HOME, value: /var/lib/nowcast}
            - {name: NOWCAST_CREDENTIALS, value: /run/secrets/nowcast}
            - {name: NOWCAST_REDIS_URL, value: {{ $root.Values.redis.url | quote }}}
            {{- with $root.Values.database.url }}
            - {name: NOWCAST_DATABASE_URL, value: {{ . | quote }}}
            {{- end }}
            {{- with $root.Values.files }}
            {{- if .url }}
            - {name: NOWCAST_FILES_URL, value: {{ .url | quote }}}
            - {name: NOWCAST_FILES_CACHE_BYTES, value: {{ .cacheBytes | quote }}}
            {{- with .endpoint }}
            - {name: NOWCAST_FILES_ENDPOINT, value: {{ . | quote }}}
            {{- end }}
            {{- with .region }}
            - {name: NOWCAST_FILES_REGION, value: {{ . | quote }}}
            {{- end }}
            {{- end }}
            {{- end }}
            {{- range $name, $value := $root.Values.settings }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
            {{- if $metrics }}
            - {name: NOWCAST_METRICS_PORT, value: {{ $metrics | quote }}}
            - {name: NOWCAST_HOST, value: "0.0.0.0"}
            {{- end }}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          {{- if eq .part "api" }}
          ports:
            - {name: http, containerPort: 8000}
          startupProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 15
            timeoutSeconds: 10
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 15
            timeoutSeconds: 10
          {{- else }}
          {{- if $metrics }}
          ports:
            - {name: metrics, containerPort: {{ $metrics }}}
          {{- end }}
          startupProbe:
            exec: {command: [python, -m, service.healthcheck, {{ .check }}]}
            periodSeconds: 10
            timeoutSeconds: 60
            failureThreshold: 60
          livenessProbe:
            exec: {command: [python, -m, service.healthcheck, {{ .check }}]}
            periodSeconds: 60
            timeoutSeconds: 60
            failureThreshold: 3
          {{- end }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - {name: live, mountPath: /var/lib/nowcast}
            - {name: secrets, mountPath: /run/secrets/nowcast, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with .mounts }}
            {{- . | nindent 12 }}
            {{- end }}
      volumes:
        - name: live
          {{- if $root.Values.files.url }}
          emptyDir: {sizeLimit: {{ $root.Values.files.cacheVolume }}}
          {{- else }}
          persistentVolumeClaim: {claimName: {{ include "nowcast.claim" $root }}}
          {{- end }}
        - name: secrets
          secret: {secretName: {{ $root.Values.secretName }}, defaultMode: 0440}
        - name: tmp
          emptyDir: {sizeLimit: 2Gi}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
{{- end -}}

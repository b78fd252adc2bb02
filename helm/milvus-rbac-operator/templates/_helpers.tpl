{{- define "operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "operator.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "operator.serviceAccount" -}}
{{- default (ternary (include "operator.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- /* What never changes: not nameOverride either, for a Deployment's selector can't be changed. */}}
{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* Takes a list: the context, and labels that are added. The chart's own stay what they are. */}}
{{- define "operator.labels" -}}
{{- $root := index . 0 -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_"))
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- merge (include "operator.selector" $root | fromYaml) $own (index . 1) $root.Values.commonLabels | toYaml }}
{{- end }}

{{- /* The metadata of an object. Takes a list: the context, a name, a namespace or "", labels and annotations of its own. */}}
{{- define "operator.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 | quote }}
{{- with index . 2 }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "operator.labels" (list $root (index . 3)) | nindent 2 }}
{{- with merge (dict) (index . 4) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "operator.defaultConnection" -}}
{{- $created := ternary (printf "%s/%s" .Release.Namespace .Values.connection.name) "" .Values.connection.create }}
{{- default $created .Values.defaultConnection }}
{{- end }}

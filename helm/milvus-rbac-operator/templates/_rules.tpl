{{- /* All that the operator may do where it serves. It creates and deletes nothing but Secrets of its own, and Events. */}}
{{- define "operator.rules" -}}
{{ include "operator.resourceRule" . }}
- apiGroups: [rbac.milvus.io]
  resources: [milvusconnections/status, milvususers/status, milvusroles/status, milvusprivilegegroups/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  # listed and watched as metadata only; read when a resource names one; those that it made for generatePassword and
  # connectionSecret are written, and deleted when no resource names them any more
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]  # certificates of authorities
- apiGroups: [milvus.io]
  resources: [milvuses]
  verbs: [get]  # where the Milvus of a milvusRef is
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]  # patch: how often the same has happened
{{- end }}

{{- define "operator.resourceRule" -}}
- apiGroups: [rbac.milvus.io]
  resources: [milvusconnections, milvususers, milvusroles, milvusprivilegegroups]
  verbs: [get, list, watch, patch]  # patch: its finalizer
{{- end }}

{{- /* An object that binds a role to the operator's account: (list . kind-of-role name-of-role). */}}
{{- define "operator.binding" -}}
{{- $root := index . 0 -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 1 }}
  name: {{ index . 2 | quote }}
subjects:
- kind: ServiceAccount
  name: {{ include "operator.serviceAccount" $root | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
{{- end }}

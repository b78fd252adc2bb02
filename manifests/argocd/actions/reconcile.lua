-- Have the operator look at once; it also tries again what it had given up as Contested.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["rbac.milvus.io/reconcile-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj

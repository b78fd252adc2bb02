-- Have the operator choose another password; any value that differs from the one before does.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["rbac.milvus.io/rotate"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj

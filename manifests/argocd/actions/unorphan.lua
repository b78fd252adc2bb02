-- Take "orphan" back. Not by taking the annotation away: Argo CD would put it back if it is the only one, because in Lua an
-- object without fields is a list, and of that Argo CD believes that it did not change.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["rbac.milvus.io/force-retain"] = "false"
return obj

-- When the resource is deleted, or at once if it is being deleted already: it goes, and Milvus stays as it is.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["rbac.milvus.io/force-retain"] = "true"
return obj

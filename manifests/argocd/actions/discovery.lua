-- Which buttons Argo CD offers for a resource, and which of them would do something now; one script for all four kinds.

local spec = obj.spec or {}
local annotations = obj.metadata.annotations or {}
local deleting = obj.metadata.deletionTimestamp ~= nil
local suspended = spec.suspend == true
local orphaned = annotations["rbac.milvus.io/force-retain"] == "true"

local actions = {}

actions["reconcile"] = {
  ["disabled"] = suspended,
  ["displayName"] = "Look now",
  ["iconClass"] = "fa fa-fw fa-sync",
}

if obj.kind == "MilvusUser" then
  -- A password of somebody's own Secret is rotated in that Secret.
  actions["rotate"] = {
    ["disabled"] = spec.generatePassword == nil or suspended or deleting,
    ["displayName"] = "Rotate the password",
    ["iconClass"] = "fa fa-fw fa-key",
  }
end

-- A MilvusConnection has nothing in Milvus that could stay.
if obj.kind ~= "MilvusConnection" then
  actions["orphan"] = {
    ["disabled"] = orphaned,
    ["displayName"] = "On deletion, leave Milvus as it is",
    ["iconClass"] = "fa fa-fw fa-unlink",
  }
  -- Once it is being deleted there is no way back.
  actions["unorphan"] = {
    ["disabled"] = not orphaned or deleting,
    ["displayName"] = "On deletion, follow deletionPolicy again",
    ["iconClass"] = "fa fa-fw fa-link",
  }
end

return actions

-- What Argo CD shows of a MilvusConnection, MilvusUser, MilvusRole or MilvusPrivilegeGroup; one script for all four.
-- Argo CD runs it without Lua's libraries string and math, so it only compares and puts texts together.

local status = obj.status or {}
local generation = obj.metadata.generation or 0
local observed = status.observedGeneration or -1

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready or {}

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local function health(word, text)
  -- A MilvusConnection that works may still deserve attention.
  for _, warning in ipairs(status.warnings or {}) do
    text = text .. " Warning: " .. warning.reason .. ": " .. warning.message
  end
  return {status = word, message = text}
end

local message = ready.message or ""

if obj.metadata.deletionTimestamp ~= nil then
  -- Goes on by itself when the cause is mended, but nobody sees that it hangs unless it is said.
  if ready.reason == "DeletionBlocked" then
    return health("Degraded", message)
  end
  return health("Progressing", "Is being deleted. " .. message)
end

if observed < 0 then
  return health("Progressing", "The operator has not looked at it yet. If that lasts, it does not run, or does not serve this namespace.")
end
if observed < generation then
  return health("Progressing", "The operator has not looked at the last change yet.")
end
if ready.status == nil or ready.status == "Unknown" then
  return health("Progressing", "The operator has not said yet whether it is Ready. " .. message)
end
-- As somebody asked for: nothing is wrong, and nothing more will happen until somebody asks for something else.
if ready.reason == "Suspended" or ready.reason == "Observed" or ready.reason == "Expired" then
  return health("Suspended", message)
end
if ready.status == "True" then
  return health("Healthy", message)
end
-- It is tried again, so it counts as waiting in the status; that it helps is not to be expected.
if ready.reason == "InternalError" then
  return health("Degraded", message)
end
if holds("Reconciling") then
  return health("Progressing", message)
end
return health("Degraded", message)

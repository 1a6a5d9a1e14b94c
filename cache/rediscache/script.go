package rediscache

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives to a script
	"encoding/hex"
)

// scriptBody is all that runs inside Redis, atomically. It is one script, so that
// its being cached there tells that the positions were checked since Redis started:
// see scriptCheck.
//
// KEYS: the tags, the older tags, and for get and set the record.
// ARGV: 1 operation, 2 check, 3 and 4 the highest position that the caller has seen
// (incarnation, count), 5 and 6 random numbers for a new incarnation, then the
// operation's own.
//
// The hash of tags holds a field "t"+tag with the count of the tag's last
// invalidation, and the state: =inc the incarnation, =pos the count, =floor what
// counts for a tag in neither hash, =mark the highest count in the older hash, =rot
// how often the hashes were rotated, =run which process of Redis wrote it. The older
// hash is the former hash of tags. Whatever does not fit together is lost positions.
//
// The reply is {incarnation, count, status, …}; see the status constants.
const scriptBody = `
local cur, old, op = KEYS[1], KEYS[2], ARGV[1]
local hi, lo = tonumber(ARGV[3]), tonumber(ARGV[4])
local inc, pos, floor, mark, rot, run

local function runid()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or error('no run_id in INFO')
end

local function whole(n)
  return n and n >= 0 and n < 4294967296 and n == math.floor(n)
end

local function load()
  local m = redis.pcall('HMGET', cur, '=inc', '=pos', '=floor', '=mark', '=rot', '=run')
  if m.err then return false end
  inc, pos, floor, mark, rot = tonumber(m[1]), tonumber(m[2]), tonumber(m[3]), tonumber(m[4]), tonumber(m[5])
  run = m[6]
  if not (whole(inc) and whole(pos) and whole(floor) and whole(mark) and whole(rot) and run) then
    inc = nil
    return false
  end
  if ARGV[2] == '1' and run ~= runid() then return false end
  if inc < hi or inc == hi and pos < lo then return false end
  if rot > 0 then
    local o = redis.pcall('HMGET', old, '=inc', '=rot')
    if o.err or tonumber(o[1]) ~= inc or tonumber(o[2]) ~= rot - 1 then return false end
  end
  return true
end

local function save()
  redis.call('HSET', cur, '=inc', inc, '=pos', pos, '=floor', floor, '=mark', mark, '=rot', rot, '=run', run)
end

-- A first write that needs no memory lets those that follow pass in a full Redis.
local function reset()
  run = runid()
  redis.call('UNLINK', cur, old)
  local above = math.max(inc or 0, hi)
  if above > 0 then inc = above + 1 + tonumber(ARGV[5]) % 1024 else inc = 1 + tonumber(ARGV[5]) end
  if inc >= 2147483648 then error('incarnations are used up') end
  pos = tonumber(ARGV[6])
  floor, mark, rot = pos, pos, 0
  save()
end

local function dead(rinc, rpos, tags)
  if rinc ~= inc or rpos > pos then return true end
  for i = 1, #tags, 1000 do
    local j = math.min(i + 999, #tags)
    local c = redis.call('HMGET', cur, unpack(tags, i, j))
    local o = rot > 0 and redis.call('HMGET', old, unpack(tags, i, j))
    for k = 1, j - i + 1 do
      local p = c[k] or o and o[k]
      if p then p = tonumber(p) else p = floor end
      if not p or p > rpos then return true end
    end
  end
  return false
end

local function parse(rec)
  if #rec < 28 or string.sub(rec, 1, 4) ~= 'PBr1' then return end
  local rinc, rpos, n, p = struct.unpack('>I4I4I4', rec, 9)
  local tags = {}
  for i = 1, n do
    if p + 3 > #rec then return end
    local l
    l, p = struct.unpack('>I4', rec, p)
    if p + l - 1 > #rec then return end
    tags[i] = 't' .. string.sub(rec, p, p + l - 1)
    p = p + l
  end
  return rinc, rpos, tags
end

if not load() then reset() end

if op == 'get' then
  local n = redis.pcall('STRLEN', KEYS[3])
  if n == 0 then return {inc, pos, 0} end
  if type(n) ~= 'number' or n > tonumber(ARGV[7]) then return {inc, pos, 3} end
  local rec = redis.call('GET', KEYS[3])
  local rinc, rpos, tags = parse(rec)
  if not rinc then return {inc, pos, 3} end
  if dead(rinc, rpos, tags) then return {inc, pos, 2} end
  return {inc, pos, 1, redis.call('PTTL', KEYS[3]), rec}
end

if op == 'set' then
  local rinc, rpos, tags = parse(ARGV[8])
  if not rinc or dead(rinc, rpos, tags) then return {inc, pos, 2} end
  redis.call('SET', KEYS[3], ARGV[8], 'PX', ARGV[7])
  return {inc, pos, 1}
end

if op == 'check' then
  local tags = {}
  for i = 9, #ARGV do tags[i - 8] = 't' .. ARGV[i] end
  if dead(tonumber(ARGV[7]), tonumber(ARGV[8]), tags) then return {inc, pos, 2} end
  return {inc, pos, 1}
end

if op == 'invalidate' then
  redis.call('PERSIST', cur) -- needs no memory, as in reset
  if pos >= 4294967295 then reset() end
  if redis.call('HLEN', cur) >= tonumber(ARGV[7]) + 6 then
    redis.call('UNLINK', old)
    redis.call('RENAME', cur, old)
    if rot > 0 then floor = mark end
    mark, rot = pos, rot + 1
  end
  pos = pos + 1
  save()
  local msg = {struct.pack('>I4I4I4I4', inc, pos, tonumber(ARGV[9]), #ARGV - 9)}
  for i = 10, #ARGV, 1000 do
    local set = {}
    for k = i, math.min(i + 999, #ARGV) do
      set[#set + 1] = 't' .. ARGV[k]
      set[#set + 1] = pos
      msg[#msg + 1] = struct.pack('>I4', #ARGV[k]) .. ARGV[k]
    end
    redis.call('HSET', cur, unpack(set))
  end
  redis.call('PUBLISH', ARGV[8], 'PBi1' .. table.concat(msg))
end

return {inc, pos, 1}
`

// Operations of the script.
const (
	opGet        = "get"
	opSet        = "set"
	opCheck      = "check"
	opPosition   = "position"
	opInvalidate = "invalidate"
)

// scriptCheck asks the script to compare the process of Redis with the one that
// wrote the positions. A Redis that was restarted from an older file, and a replica
// that took over, may lack the last of them. Neither has the script cached, so only
// the full text, which is sent when the short call failed for that, must ask. The
// prefix is part of the text, else another prefix would get the script cached
// without ours having been checked.
const (
	scriptTrust = "0"
	scriptCheck = "1"
)

// Status of a reply.
const (
	statusAbsent  = 0
	statusOK      = 1
	statusDead    = 2
	statusGarbage = 3
)

type script struct{ text, sha string }

func newScript(prefix string) script {
	text := "-- " + hex.EncodeToString([]byte(prefix)) + scriptBody
	sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return script{text: text, sha: hex.EncodeToString(sum[:])}
}

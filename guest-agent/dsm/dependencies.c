/* On whom this node depends (docs/dependencies.md).
 *
 * Direct: every frame about data binds the receiver to the sender's interval, and its
 * acknowledgement the sender to the receiver's: the directory, the copies and the sequence numbers
 * of both ends belong together, so neither can be taken back alone.  A GRANT adds the page's last
 * writer, LOCK_GIVE the lock's last holder, PASS everyone who arrived: what they did came here
 * through a third node.
 *
 * Merged: the direct ones and, with every frame, what the sender had merged.  Recovery lines need
 * the direct ones only: if C is taken back behind what B saw of it, B goes back behind that itself,
 * and so does who saw this B.  So merging changes no recovery line; it is carried for who wants to
 * see the history.
 *
 * A frame carries only what `merged` gained since the last one to that peer; frames come once and
 * in order. */
#include "guest-agent/dsm/engine-private.h"

#include <string.h>

static void
raise (uint64_t *at, uint64_t interval)
{
  if (*at < interval + 1)
    *at = interval + 1;
}

void
dependencies_add (CsEngine *engine, unsigned node, uint64_t interval)
{
  if (node == engine->node)
    return;
  raise (&engine->direct[node], interval);
  raise (&engine->merged[node], interval);
}

void
dependencies_stamp (CsEngine *engine, unsigned to, CsFrame *frame)
{
  frame->interval = engine->interval;
  frame->entries = 0;
  if (!cs_wire_is_data (frame->kind))
    return;
  uint64_t *told = engine->told[to];
  for (unsigned i = 0; i < engine->nodes; i++)
    if (i != to && engine->merged[i] > told[i])
      {
        told[i] = engine->merged[i];
        frame->entry[frame->entries++] = (CsWireEntry){ (uint16_t)i, told[i] - 1 };
      }
}

void
dependencies_take (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  if (!cs_wire_is_data (frame->kind))
    return;
  dependencies_add (engine, from, frame->interval);
  for (unsigned i = 0; i < frame->entries; i++)
    if (frame->entry[i].node != engine->node)
      raise (&engine->merged[frame->entry[i].node], frame->entry[i].interval);
}

void
cs_engine_acknowledged (CsEngine *engine, unsigned peer, uint64_t interval)
{
  dependencies_add (engine, peer, interval);
}

void
cs_engine_name (CsEngine *engine, unsigned node, const char *vm)
{
  size_t length = strnlen (vm, CS_DSM_NAME - 1);
  memmove (engine->names[node], vm, length);
  engine->names[node][length] = '\0';
}

void
cs_engine_identify (CsEngine *engine, const char *vm, uint64_t interval)
{
  engine->interval = interval < CS_WIRE_INTERVAL_MAX ? interval : CS_WIRE_INTERVAL_MAX;
  if (vm == NULL || strncmp (vm, engine->names[engine->node], CS_DSM_NAME - 1) == 0)
    return;
  cs_engine_name (engine, engine->node, vm);
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = CS_WIRE_IDENTITY;
  memcpy (frame.name, engine->names[engine->node], CS_DSM_NAME);
  for (unsigned i = 0; i < engine->nodes; i++)
    if (i != engine->node)
      engine_send (engine, i, &frame);
}

const char *
cs_engine_vm (const CsEngine *engine, unsigned node)
{
  return engine->names[node];
}

uint64_t
cs_engine_interval (const CsEngine *engine)
{
  return engine->interval;
}

size_t
cs_engine_dependencies (const CsEngine *engine, int which, CsDsmDependency *dependencies, size_t n)
{
  const uint64_t *vector = which == CS_DSM_DIRECT ? engine->direct : engine->merged;
  size_t count = 0;
  for (unsigned i = 0; i < engine->nodes; i++)
    {
      const char *vm = engine->names[i];
      if (vector[i] == 0 || vm[0] == '\0' || strcmp (vm, engine->names[engine->node]) == 0)
        continue;
      size_t at = 0;
      while (at < count && strcmp (dependencies[at].vm, vm) != 0)
        at++;
      if (at == count && count++ < n)
        {
          memcpy (dependencies[at].vm, vm, CS_DSM_NAME);
          dependencies[at].interval = 0;
        }
      if (at >= n)
        return n;
      if (dependencies[at].interval < vector[i] - 1)
        dependencies[at].interval = vector[i] - 1;
    }
  return count;
}

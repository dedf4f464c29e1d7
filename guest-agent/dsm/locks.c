/* Locks and barriers, both the home's side and this node's. */
#include "guest-agent/dsm/engine-private.h"

#include <string.h>

static void
give_lock (CsEngine *engine, unsigned number)
{
  Lock *lock = &engine->locks[number];
  uint64_t can = 0;
  for (unsigned i = 0; i < engine->nodes; i++)
    if ((lock->asked & BIT (i)) && freeze_allows (engine, i))
      can |= BIT (i);
  if (lock->taken || can == 0)
    return;
  unsigned node = engine_turn (can, lock->next, engine->nodes);
  lock->asked &= ~BIT (node);
  lock->next = (uint8_t)((node + 1) % engine->nodes);
  lock->taken = true;
  lock->holder = (uint16_t)node;
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = CS_WIRE_LOCK_GIVE;
  frame.id = number;
  frame.writer = lock->writer_known ? lock->last_holder : CS_WIRE_NOBODY;
  frame.writer_interval = lock->last_interval;
  engine_send (engine, node, &frame);
}

static bool
asked (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Lock *lock = &engine->locks[frame->id];
  if ((lock->asked & BIT (from)) || (lock->taken && lock->holder == from))
    return engine_violation (engine, from, "asked for a lock that it has or has asked for",
                             frame->id);
  lock->asked |= BIT (from);
  give_lock (engine, frame->id);
  return true;
}

static bool
freed (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Lock *lock = &engine->locks[frame->id];
  if (!lock->taken || lock->holder != from)
    return engine_violation (engine, from, "gave a lock back that it did not hold", frame->id);
  lock->taken = false;
  lock->writer_known = true;
  lock->last_holder = (uint16_t)from;
  lock->last_interval = from == engine->node ? engine->interval : frame->interval;
  give_lock (engine, frame->id);
  return true;
}

static bool
given (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Lock *lock = &engine->locks[frame->id];
  if (!lock->mine_asked || lock->mine)
    return engine_violation (engine, from, "gave a lock that was not asked for", frame->id);
  lock->mine_asked = false;
  lock->mine = true;
  if (frame->writer != CS_WIRE_NOBODY)
    dependencies_add (engine, frame->writer, frame->writer_interval);
  engine->outside->locked (engine->data, frame->id);
  return true;
}

/* Tells those who may be told that all have arrived. */
static void
let_pass (CsEngine *engine, unsigned number)
{
  Barrier *barrier = &engine->barriers[number];
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = CS_WIRE_PASS;
  frame.id = number;
  frame.writer = CS_WIRE_NOBODY;
  frame.passed = (uint16_t)engine->nodes;
  memcpy (frame.pass, barrier->passed, sizeof frame.pass);
  for (unsigned i = 0; i < engine->nodes; i++)
    if ((barrier->owed & BIT (i)) && freeze_allows (engine, i))
      {
        barrier->owed &= ~BIT (i);
        engine_send (engine, i, &frame);
      }
}

static bool
arrived (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Barrier *barrier = &engine->barriers[frame->id];
  if ((barrier->arrived | barrier->owed) & BIT (from))
    return engine_violation (engine, from, "arrived twice at a barrier", frame->id);
  barrier->arrived |= BIT (from);
  barrier->arriving[from] = from == engine->node ? engine->interval : frame->interval;
  for (unsigned i = 0; i < engine->nodes; i++)
    if (!(barrier->arrived & BIT (i)))
      return true;
  memcpy (barrier->passed, barrier->arriving, sizeof barrier->passed);
  barrier->owed = barrier->arrived;
  barrier->arrived = 0;
  let_pass (engine, frame->id);
  return true;
}

static bool
passed (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Barrier *barrier = &engine->barriers[frame->id];
  if (!barrier->mine)
    return engine_violation (engine, from, "opened a barrier where nobody waits", frame->id);
  barrier->mine = false;
  for (unsigned i = 0; i < frame->passed; i++)
    dependencies_add (engine, i, frame->pass[i]);
  engine->outside->passed (engine->data, frame->id);
  return true;
}

void
locks_retry (CsEngine *engine)
{
  for (unsigned i = 0; i < CS_DSM_LOCKS; i++)
    if (engine->locks[i].asked != 0)
      give_lock (engine, i);
  for (unsigned i = 0; i <= CS_DSM_BARRIERS; i++)
    if (engine->barriers[i].owed != 0)
      let_pass (engine, i);
}

bool
locks_receive (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  unsigned home = frame->id % engine->nodes;
  bool to_home = frame->kind != CS_WIRE_LOCK_GIVE && frame->kind != CS_WIRE_PASS;
  if (home != (to_home ? engine->node : from))
    return engine_violation (engine, from, "sent a lock's or barrier's frame to the wrong node",
                             frame->id);
  switch (frame->kind)
    {
    case CS_WIRE_LOCK_ASK:
      return asked (engine, from, frame);
    case CS_WIRE_LOCK_FREE:
      return freed (engine, from, frame);
    case CS_WIRE_LOCK_GIVE:
      return given (engine, from, frame);
    case CS_WIRE_ARRIVE:
      return arrived (engine, from, frame);
    default:
      return passed (engine, from, frame);
    }
}

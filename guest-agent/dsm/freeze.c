/* Freezing: who may be sent something new, and when nothing is under way any more.  engine.h has
 * the theory.
 *
 * Frames about freezing say nothing of the program's data and make nobody depend on anybody: else
 * every snapshot of one node would bind all others to it. */
#include "guest-agent/dsm/engine-private.h"

#include <stdlib.h>

bool
freeze_allows (const CsEngine *engine, unsigned to)
{
  return (engine->frozen & (BIT (engine->node) | BIT (to))) == 0;
}

bool
cs_engine_is_frozen (const CsEngine *engine)
{
  return (engine->frozen & BIT (engine->node)) != 0;
}

bool
cs_engine_is_still (const CsEngine *engine)
{
  uint64_t all = engine->nodes == 64 ? UINT64_MAX : BIT (engine->nodes) - 1;
  return cs_engine_is_frozen (engine) && (engine->answered | BIT (engine->node)) == all
         && engine->active == NULL && engine->first_loop == NULL && engine->deferred.n == 0;
}

/* Does anything under way here still send to @node or wait for it? */
static bool
is_involved (const CsEngine *engine, unsigned node)
{
  for (const Transaction *t = engine->active; t != NULL; t = t->next)
    if (t->requester == node || (t->waiting & BIT (node)))
      return true;
  return false;
}

void
freeze_settle (CsEngine *engine)
{
  for (unsigned i = 0; engine->owed != 0 && i < engine->nodes; i++)
    if ((engine->owed & BIT (i)) && !is_involved (engine, i))
      {
        engine->owed &= ~BIT (i);
        engine_send_id (engine, i, CS_WIRE_FROZEN, CS_WIRE_ACK_NOW, engine->their_number[i]);
      }
}

/* What waited may go now, in its order. */
void
freeze_release (CsEngine *engine)
{
  Blocked *items = engine->blocked.items;
  size_t n = engine->blocked.n;
  engine->blocked = (List){ 0 };
  for (size_t i = 0; i < n; i++)
    {
      bool is_page = items[i].kind == CS_WIRE_READ || items[i].kind == CS_WIRE_WRITE;
      unsigned to = is_page ? cs_engine_home (engine, items[i].id) : items[i].id % engine->nodes;
      engine_request (engine, to, items[i].kind, items[i].id);
    }
  free (items);
  directory_retry (engine);
  locks_retry (engine);
}

bool
freeze_receive (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  switch (frame->kind)
    {
    case CS_WIRE_FREEZE:
      engine->frozen |= BIT (from);
      engine->owed |= BIT (from);
      engine->their_number[from] = frame->id;
      return true;
    case CS_WIRE_FROZEN:
      if (frame->id == engine->freeze_number && cs_engine_is_frozen (engine))
        engine->answered |= BIT (from);
      return true;
    default:
      engine->frozen &= ~BIT (from);
      engine->owed &= ~BIT (from);
      freeze_release (engine);
      return true;
    }
}

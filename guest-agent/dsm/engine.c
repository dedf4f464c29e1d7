/* The engine's trunk: what comes in, what goes out, and the queue to itself. */
#include "guest-agent/dsm/engine-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Loop
{
  Loop *next;
  CsFrame frame;
  uint8_t page[CS_DSM_PAGE];
};

/* The state must stay whole; there is nothing to go back to. */
static void *
must (void *memory)
{
  if (memory == NULL)
    {
      fprintf (stderr, "clusdsm: no memory\n");
      abort ();
    }
  return memory;
}

void *
list_add (List *list, size_t size)
{
  if (list->n == list->room)
    {
      list->room = list->room > 0 ? 2 * list->room : 64;
      list->items = must (realloc (list->items, list->room * size));
    }
  return (char *)list->items + size * list->n++;
}

CsEngine *
cs_engine_new (unsigned node, unsigned nodes, uint32_t pages, uint32_t block, unsigned hold,
               const CsEngineOutside *outside, void *data)
{
  CsEngine *engine = calloc (1, sizeof *engine);
  if (engine == NULL)
    return NULL;
  *engine = (CsEngine){
    .node = node,
    .nodes = nodes,
    .pages = pages,
    .block = block > 0 ? block : (pages + nodes - 1) / nodes,
    .hold = hold,
    .outside = outside,
    .data = data,
  };
  engine->last_loop = &engine->first_loop;
  engine->copies = calloc (pages, sizeof *engine->copies);
  engine->directory = calloc (pages, sizeof *engine->directory);
  if (engine->copies == NULL || engine->directory == NULL)
    {
      cs_engine_free (engine);
      return NULL;
    }
  for (uint32_t page = 0; page < pages; page++)
    if (cs_engine_home (engine, page) == node)
      engine->copies[page].copy = COPY_WRITE;
  return engine;
}

void
cs_engine_free (CsEngine *engine)
{
  if (engine == NULL)
    return;
  for (Transaction *next, *t = engine->active; t != NULL; t = next)
    {
      next = t->next;
      free (t);
    }
  for (Loop *next, *loop = engine->first_loop; loop != NULL; loop = next)
    {
      next = loop->next;
      free (loop);
    }
  free (engine->deferred.items);
  free (engine->waiting.items);
  free (engine->blocked.items);
  free (engine->copies);
  free (engine->directory);
  free (engine);
}

unsigned
cs_engine_home (const CsEngine *engine, uint32_t page)
{
  return page / engine->block % engine->nodes;
}

unsigned
cs_engine_transfers (const CsEngine *engine)
{
  return engine->n_active;
}

void
cs_engine_counts (const CsEngine *engine, CsEngineCounts *counts)
{
  *counts = engine->counts;
}

const char *
cs_engine_violation (const CsEngine *engine)
{
  return engine->violation;
}

bool
engine_violation (CsEngine *engine, unsigned from, const char *what, uint32_t id)
{
  snprintf (engine->violation, sizeof engine->violation, "node %u %s (number %lu)", from, what,
            (unsigned long)id);
  return false;
}

/* The first of @mask from @first on, around; @mask is not empty. */
unsigned
engine_turn (uint64_t mask, unsigned first, unsigned nodes)
{
  for (unsigned i = 0; i < nodes; i++)
    if (mask & BIT ((first + i) % nodes))
      return (first + i) % nodes;
  return 0;
}

/* ---- out ---- */

void
engine_send (CsEngine *engine, unsigned to, CsFrame *frame)
{
  if (to != engine->node)
    {
      dependencies_stamp (engine, to, frame);
      engine->outside->send (engine->data, to, frame);
      return;
    }
  Loop *loop = must (malloc (sizeof *loop));
  loop->next = NULL;
  loop->frame = *frame;
  if (frame->content == CS_WIRE_PAGE)
    {
      memcpy (loop->page, frame->page, CS_DSM_PAGE);
      loop->frame.page = loop->page;
    }
  *engine->last_loop = loop;
  engine->last_loop = &loop->next;
}

void
engine_send_id (CsEngine *engine, unsigned to, uint8_t kind, uint8_t flags, uint32_t id)
{
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = kind;
  frame.flags = flags;
  frame.id = id;
  frame.writer = CS_WIRE_NOBODY;
  engine_send (engine, to, &frame);
}

void
engine_request (CsEngine *engine, unsigned to, uint8_t kind, uint32_t id)
{
  if (freeze_allows (engine, to))
    engine_send_id (engine, to, kind, 0, id);
  else
    *(Blocked *)list_add (&engine->blocked, sizeof (Blocked)) = (Blocked){ kind, id };
}

/* ---- in ---- */

static bool
dispatch (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  switch (frame->kind)
    {
    case CS_WIRE_BYE:
      return true;
    case CS_WIRE_IDENTITY:
      cs_engine_name (engine, from, frame->name);
      return true;
    case CS_WIRE_FREEZE:
    case CS_WIRE_FROZEN:
    case CS_WIRE_THAW:
      return freeze_receive (engine, from, frame);
    case CS_WIRE_READ:
    case CS_WIRE_WRITE:
      return directory_ask (engine, from, frame->id, frame->kind == CS_WIRE_WRITE);
    case CS_WIRE_RECALLED:
    case CS_WIRE_INVALIDATED:
      return directory_answer (engine, from, frame);
    case CS_WIRE_INVALIDATE:
    case CS_WIRE_RECALL:
    case CS_WIRE_GRANT:
      return copies_receive (engine, from, frame);
    default:
      return locks_receive (engine, from, frame);
    }
}

/* Delivers what this node sent to itself.  Not from within itself: every step sees whole states. */
static bool
drain (CsEngine *engine)
{
  bool good = true;
  if (engine->looping)
    return true;
  engine->looping = true;
  Loop *loop;
  while (good && (loop = engine->first_loop) != NULL)
    {
      engine->first_loop = loop->next;
      if (loop->next == NULL)
        engine->last_loop = &engine->first_loop;
      good = dispatch (engine, engine->node, &loop->frame);
      free (loop);
    }
  engine->looping = false;
  freeze_settle (engine);
  return good;
}

bool
cs_engine_receive (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  if (cs_wire_is_unsequenced (frame->kind))
    return engine_violation (engine, from, "sent a connection's frame in sequence", frame->kind);
  dependencies_take (engine, from, frame);
  return dispatch (engine, from, frame) && drain (engine);
}

bool
cs_engine_has (const CsEngine *engine, uint32_t page, bool write)
{
  return engine->copies[page].copy >= (write ? COPY_WRITE : COPY_READ);
}

bool
cs_engine_waits (const CsEngine *engine, uint32_t page)
{
  return engine->copies[page].asked;
}

void
cs_engine_fault (CsEngine *engine, uint32_t page, bool write)
{
  Copy *copy = &engine->copies[page];
  if (cs_engine_has (engine, page, write))
    {
      if (copy->present)
        engine->outside->wake (engine->data, page);
      else
        engine->outside->install (engine->data, page, NULL, copy->copy == COPY_WRITE);
      copy->present = true;
      return;
    }
  *(write ? &copy->wants_write : &copy->wants_read) = true;
  if (copy->asked)
    return;
  copy->asked = true;
  engine->counts.read_faults += !write;
  engine->counts.write_faults += write;
  engine_request (engine, cs_engine_home (engine, page), write ? CS_WIRE_WRITE : CS_WIRE_READ,
                  page);
  drain (engine);
}

int64_t
cs_engine_tick (CsEngine *engine, int64_t now)
{
  engine->now = now;
  copies_tick (engine);
  drain (engine);
  return copies_due (engine);
}

void
cs_engine_lock (CsEngine *engine, unsigned lock)
{
  engine->locks[lock].mine_asked = true;
  engine_request (engine, lock % engine->nodes, CS_WIRE_LOCK_ASK, lock);
  drain (engine);
}

bool
cs_engine_unlock (CsEngine *engine, unsigned lock)
{
  if (!engine->locks[lock].mine)
    return false;
  engine->locks[lock].mine = false;
  engine_request (engine, lock % engine->nodes, CS_WIRE_LOCK_FREE, lock);
  drain (engine);
  return true;
}

void
cs_engine_arrive (CsEngine *engine, unsigned barrier)
{
  engine->barriers[barrier].mine = true;
  engine_request (engine, barrier % engine->nodes, CS_WIRE_ARRIVE, barrier);
  drain (engine);
}

/* ---- snapshots ---- */

void
cs_engine_freeze (CsEngine *engine)
{
  if (cs_engine_is_frozen (engine))
    return;
  engine->frozen |= BIT (engine->node);
  engine->answered = 0;
  engine->freeze_number++;
  for (unsigned i = 0; i < engine->nodes; i++)
    if (i != engine->node)
      engine_send_id (engine, i, CS_WIRE_FREEZE, CS_WIRE_ACK_NOW, engine->freeze_number);
}

void
cs_engine_thaw (CsEngine *engine)
{
  if (!cs_engine_is_frozen (engine))
    return;
  engine->frozen &= ~BIT (engine->node);
  for (unsigned i = 0; i < engine->nodes; i++)
    if (i != engine->node)
      engine_send_id (engine, i, CS_WIRE_THAW, 0, 0);
  freeze_release (engine);
  drain (engine);
}

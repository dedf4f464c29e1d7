/* This node's copies of pages. */
#include "guest-agent/dsm/engine-private.h"

#include <string.h>

uint8_t
copies_content (CsEngine *engine, uint32_t page, uint8_t *bytes)
{
  if (!engine->copies[page].present)
    return CS_WIRE_ZEROS;
  engine->outside->read (engine->data, page, bytes);
  return CS_WIRE_PAGE;
}

void
copies_put (CsEngine *engine, uint32_t page, const uint8_t *content)
{
  Copy *copy = &engine->copies[page];
  copy->copy = COPY_READ;
  copy->present = true;
  engine->outside->install (engine->data, page, content, false);
}

static void
take_away (CsEngine *engine, uint32_t page)
{
  Copy *copy = &engine->copies[page];
  if (copy->present)
    engine->outside->drop (engine->data, page);
  copy->present = false;
  copy->copy = COPY_NONE;
  copy->held = false;
  engine->counts.invalidated++;
}

/* The home wants the page, or that no copy stays here. */
static void
surrender (CsEngine *engine, uint32_t page, uint8_t kind, uint8_t flags)
{
  Copy *copy = &engine->copies[page];
  unsigned home = cs_engine_home (engine, page);
  if (kind == CS_WIRE_INVALIDATE)
    {
      take_away (engine, page);
      engine_send_id (engine, home, CS_WIRE_INVALIDATED, 0, page);
      return;
    }
  uint8_t bytes[CS_DSM_PAGE];
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  /* From here on nobody writes it; then it is read. */
  if (copy->copy == COPY_WRITE && copy->present)
    engine->outside->protect (engine->data, page);
  copy->copy = COPY_READ;
  frame.kind = CS_WIRE_RECALLED;
  frame.id = page;
  frame.writer = (uint16_t)engine->node;
  frame.writer_interval = engine->interval;
  frame.content = copies_content (engine, page, bytes);
  frame.page = bytes;
  if (!(flags & CS_WIRE_KEEP))
    take_away (engine, page);
  engine->counts.pages_out += home != engine->node && frame.content == CS_WIRE_PAGE;
  engine_send (engine, home, &frame);
}

/* Was it granted so short a time ago that it should stay?  A clock that went back holds nothing. */
static bool
is_held (const CsEngine *engine, const Copy *copy)
{
  return copy->held && engine->now >= copy->granted && engine->now - copy->granted < engine->hold;
}

static bool
surrender_later (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Copy *copy = &engine->copies[frame->id];
  bool self = from == engine->node;
  uint8_t least = frame->kind == CS_WIRE_RECALL && !self ? COPY_WRITE : COPY_READ;
  if (copy->copy < least || copy->deferred
      || (frame->kind == CS_WIRE_INVALIDATE && copy->copy != COPY_READ))
    return engine_violation (engine, from, "wants a page back that it did not give", frame->id);
  if (!is_held (engine, copy))
    {
      surrender (engine, frame->id, frame->kind, frame->flags);
      return true;
    }
  copy->deferred = true;
  copy->defer_kind = frame->kind;
  copy->defer_flags = frame->flags;
  *(uint32_t *)list_add (&engine->deferred, sizeof (uint32_t)) = frame->id;
  return true;
}

static bool
granted (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  Copy *copy = &engine->copies[frame->id];
  uint32_t page = frame->id;
  bool writable = (frame->flags & CS_WIRE_WRITABLE) != 0;
  bool had = copy->copy == COPY_READ;
  if (!copy->asked || copy->deferred || copy->copy == COPY_WRITE
      || had != (frame->content == CS_WIRE_NOTHING) || (!writable && had && from != engine->node))
    return engine_violation (engine, from, "granted a page that was not asked for so", page);
  copy->asked = false;
  copy->copy = writable ? COPY_WRITE : COPY_READ;
  copy->held = engine->hold > 0;
  copy->granted = engine->now;
  if (frame->writer != CS_WIRE_NOBODY)
    dependencies_add (engine, frame->writer, frame->writer_interval);
  engine->counts.pages_in += from != engine->node && frame->content == CS_WIRE_PAGE;
  if (!had)
    {
      copy->present = true;
      engine->outside->install (engine->data, page,
                                frame->content == CS_WIRE_PAGE ? frame->page : NULL, writable);
    }
  else if (writable && copy->present)
    engine->outside->allow (engine->data, page);
  else
    engine->outside->wake (engine->data, page);
  copy->wants_read = false;
  bool more = copy->wants_write && !writable;
  copy->wants_write = false;
  if (more)
    cs_engine_fault (engine, page, true);
  return true;
}

bool
copies_receive (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  if (from != cs_engine_home (engine, frame->id))
    return engine_violation (engine, from, "decides about a page whose home is elsewhere",
                             frame->id);
  return frame->kind == CS_WIRE_GRANT ? granted (engine, from, frame)
                                      : surrender_later (engine, from, frame);
}

void
copies_tick (CsEngine *engine)
{
  uint32_t *pages = engine->deferred.items;
  size_t kept = 0;
  for (size_t i = 0; i < engine->deferred.n; i++)
    {
      Copy *copy = &engine->copies[pages[i]];
      if (is_held (engine, copy))
        {
          pages[kept++] = pages[i];
          continue;
        }
      copy->deferred = false;
      surrender (engine, pages[i], copy->defer_kind, copy->defer_flags);
    }
  engine->deferred.n = kept;
}

int64_t
copies_due (CsEngine *engine)
{
  const uint32_t *pages = engine->deferred.items;
  int64_t due = -1;
  for (size_t i = 0; i < engine->deferred.n; i++)
    {
      int64_t at = engine->copies[pages[i]].granted + engine->hold - engine->now;
      if (due < 0 || at < due)
        due = at > 0 ? at : 0;
    }
  return due;
}

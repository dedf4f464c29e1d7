/* A home's side of its pages: one transaction per page at a time. */
#include "guest-agent/dsm/engine-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whose copies must go or be called in before @requester can have the page. */
static uint64_t
others (const CsEngine *engine, const Page *entry, unsigned requester, bool write)
{
  switch (entry->state)
    {
    case PAGE_HOME:
      return BIT (engine->node);
    case PAGE_AWAY:
      return BIT (entry->owner);
    default:
      return write ? entry->sharers & ~BIT (requester) : 0;
    }
}

/* Everything it takes may be sent. */
static bool
may_start (const CsEngine *engine, const Page *entry, unsigned requester, bool write)
{
  uint64_t all = others (engine, entry, requester, write) | BIT (requester) | BIT (engine->node);
  return (engine->frozen & all) == 0;
}

static void
give (CsEngine *engine, Transaction *t, Page *entry)
{
  CsFrame frame;
  memset (&frame, 0, offsetof (CsFrame, entry));
  frame.kind = CS_WIRE_GRANT;
  frame.flags = t->write ? CS_WIRE_WRITABLE : 0;
  frame.id = t->page;
  frame.writer = entry->writer > 0 ? (uint16_t)(entry->writer - 1) : CS_WIRE_NOBODY;
  frame.writer_interval = entry->writer_interval;
  frame.content = t->give_content ? t->content : CS_WIRE_NOTHING;
  frame.page = t->bytes;
  engine_send (engine, t->requester, &frame);
}

/* All answers are there. */
static void
finish (CsEngine *engine, Transaction *t)
{
  Page *entry = &engine->directory[t->page];
  if (t->write)
    {
      entry->state = t->requester == engine->node ? PAGE_HOME : PAGE_AWAY;
      entry->owner = (uint16_t)t->requester;
      entry->sharers = 0;
    }
  else
    {
      if (entry->state == PAGE_AWAY)
        {
          entry->sharers = BIT (entry->owner);
          copies_put (engine, t->page, t->content == CS_WIRE_PAGE ? t->bytes : NULL);
          if (t->requester == engine->node)
            t->give_content = false;
        }
      entry->state = PAGE_SHARED;
      entry->sharers |= BIT (t->requester) | BIT (engine->node);
    }
  give (engine, t, entry);
  entry->busy = NULL;
  *t->link = t->next;
  if (t->next != NULL)
    t->next->link = t->link;
  engine->n_active--;
  free (t);
}

static Transaction *
transaction_new (CsEngine *engine, uint32_t page, unsigned requester, bool write)
{
  Transaction *t = malloc (sizeof *t);
  if (t == NULL)
    {
      fprintf (stderr, "clusdsm: no memory\n");
      abort ();
    }
  memset (t, 0, offsetof (Transaction, bytes));
  t->page = page;
  t->requester = requester;
  t->write = write;
  t->next = engine->active;
  t->link = &engine->active;
  if (t->next != NULL)
    t->next->link = &t->next;
  engine->active = t;
  engine->n_active++;
  return t;
}

static void
start (CsEngine *engine, uint32_t page, unsigned requester, bool write)
{
  Page *entry = &engine->directory[page];
  Transaction *t = transaction_new (engine, page, requester, write);
  bool shared = entry->state == PAGE_SHARED;
  t->give_content = !(shared && (entry->sharers & BIT (requester)));
  t->waiting = others (engine, entry, requester, write);
  entry->busy = t;
  if (shared && !write)
    t->content = copies_content (engine, page, t->bytes);
  if (t->waiting == 0)
    {
      finish (engine, t);
      return;
    }
  uint64_t waiting = t->waiting;
  for (unsigned i = 0; i < engine->nodes; i++)
    if (waiting & BIT (i))
      {
        /* A writer's page is called in; of readers' copies only the home's is of use. */
        bool recall = !shared || (i == engine->node && t->give_content);
        engine_send_id (engine, i, recall ? CS_WIRE_RECALL : CS_WIRE_INVALIDATE,
                        write ? 0 : CS_WIRE_KEEP, page);
      }
}

/* Starts what may be started for @page: whose turn it is, or who comes after those that must wait.
 */
static void
proceed (CsEngine *engine, uint32_t page)
{
  Page *entry = &engine->directory[page];
  uint64_t asked;
  while (entry->busy == NULL && (asked = entry->asked_read | entry->asked_write) != 0)
    {
      uint64_t can = 0;
      for (unsigned i = 0; i < engine->nodes; i++)
        if ((asked & BIT (i)) && may_start (engine, entry, i, (entry->asked_write & BIT (i)) != 0))
          can |= BIT (i);
      if (can == 0)
        {
          if (!entry->listed)
            *(uint32_t *)list_add (&engine->waiting, sizeof (uint32_t)) = page;
          entry->listed = true;
          return;
        }
      unsigned node = engine_turn (can, entry->next, engine->nodes);
      bool write = (entry->asked_write & BIT (node)) != 0;
      entry->asked_read &= ~BIT (node);
      entry->asked_write &= ~BIT (node);
      entry->next = (uint8_t)((node + 1) % engine->nodes);
      start (engine, page, node, write);
    }
}

void
directory_retry (CsEngine *engine)
{
  uint32_t *pages = engine->waiting.items;
  size_t n = engine->waiting.n;
  engine->waiting = (List){ 0 };
  for (size_t i = 0; i < n; i++)
    {
      engine->directory[pages[i]].listed = false;
      proceed (engine, pages[i]);
    }
  free (pages);
}

bool
directory_ask (CsEngine *engine, unsigned from, uint32_t page, bool write)
{
  if (cs_engine_home (engine, page) != engine->node)
    return engine_violation (engine, from, "asked for a page whose home is elsewhere", page);
  Page *entry = &engine->directory[page];
  bool has = (entry->state == PAGE_HOME && from == engine->node)
             || (entry->state == PAGE_AWAY && from == entry->owner)
             || (entry->state == PAGE_SHARED && !write && (entry->sharers & BIT (from)));
  bool pending = ((entry->asked_read | entry->asked_write) & BIT (from)) != 0
                 || (entry->busy != NULL && entry->busy->requester == from);
  /* The home itself may get a copy by another's read while its own request waits. */
  if (pending || (has && from != engine->node))
    return engine_violation (engine, from, "asked for a page that it has or has asked for", page);
  *(write ? &entry->asked_write : &entry->asked_read) |= BIT (from);
  proceed (engine, page);
  return true;
}

bool
directory_answer (CsEngine *engine, unsigned from, const CsFrame *frame)
{
  bool recalled = frame->kind == CS_WIRE_RECALLED;
  Transaction *t = NULL;
  if (cs_engine_home (engine, frame->id) == engine->node)
    t = engine->directory[frame->id].busy;
  if (t == NULL || !(t->waiting & BIT (from)))
    return engine_violation (engine, from, "gave up a page that nobody asked of it", frame->id);
  Page *entry = &engine->directory[frame->id];
  bool expected = entry->state != PAGE_SHARED || (from == engine->node && t->give_content);
  if (recalled != expected || (recalled && frame->content == CS_WIRE_NOTHING))
    return engine_violation (engine, from, "gave up a page in the wrong way", frame->id);
  if (recalled)
    {
      t->content = frame->content;
      if (frame->content == CS_WIRE_PAGE)
        memcpy (t->bytes, frame->page, CS_DSM_PAGE);
      if (entry->state != PAGE_SHARED && frame->content == CS_WIRE_PAGE)
        {
          entry->writer = (uint16_t)(from + 1);
          entry->writer_interval = from == engine->node ? engine->interval : frame->interval;
        }
    }
  t->waiting &= ~BIT (from);
  if (entry->state == PAGE_SHARED)
    entry->sharers &= ~BIT (from);
  if (t->waiting == 0)
    {
      finish (engine, t);
      proceed (engine, frame->id);
    }
  return true;
}

/* Encoding and checking of frames.  Everything a peer says is bounded here; whether it may say it
 * now is the engine's to judge. */
#include "guest-agent/dsm/wire.h"

#include <endian.h>
#include <string.h>

/* ---- writing ---- */

static uint8_t *
put (uint8_t *at, uint64_t value, unsigned bytes)
{
  for (unsigned i = 0; i < bytes; i++)
    *at++ = (uint8_t)(value >> (8 * i));
  return at;
}

static uint8_t *
put_bytes (uint8_t *at, const void *bytes, size_t n)
{
  memcpy (at, bytes, n);
  return at + n;
}

static uint8_t *
put_hello (uint8_t *at, const CsFrame *frame)
{
  const CsWireHello *hello = &frame->hello;
  at = put (at, hello->magic, 8);
  at = put (at, hello->version, 2);
  at = put (at, hello->node, 2);
  at = put (at, hello->nodes, 2);
  at = put (at, 0, 2);
  at = put (at, hello->pages, 4);
  at = put (at, hello->block, 4);
  at = put (at, hello->incarnation, 8);
  at = put (at, hello->expected, 8);
  at = put (at, hello->received, 8);
  return put_bytes (at, frame->name, CS_DSM_NAME);
}

static uint8_t *
put_body (uint8_t *at, const CsFrame *frame)
{
  switch (frame->kind)
    {
    case CS_WIRE_HELLO:
      return put_hello (at, frame);
    case CS_WIRE_IDENTITY:
      return put_bytes (at, frame->name, CS_DSM_NAME);
    case CS_WIRE_ACK:
    case CS_WIRE_PING:
    case CS_WIRE_BYE:
    case CS_WIRE_THAW:
      return at;
    default:
      break;
    }
  at = put (at, frame->id, 4);
  if (frame->kind == CS_WIRE_RECALLED || frame->kind == CS_WIRE_GRANT
      || frame->kind == CS_WIRE_LOCK_GIVE)
    {
      at = put (at, frame->writer, 2);
      at = put (at, frame->writer_interval, 8);
    }
  if (frame->kind == CS_WIRE_RECALLED || frame->kind == CS_WIRE_GRANT)
    {
      at = put (at, frame->content, 1);
      if (frame->content == CS_WIRE_PAGE)
        at = put_bytes (at, frame->page, CS_DSM_PAGE);
    }
  if (frame->kind == CS_WIRE_PASS)
    {
      at = put (at, frame->passed, 2);
      for (unsigned i = 0; i < frame->passed; i++)
        at = put (at, frame->pass[i], 8);
    }
  return at;
}

size_t
cs_wire_encode (const CsFrame *frame, uint8_t *bytes)
{
  uint8_t *at = bytes + 4;
  at = put (at, frame->kind, 1);
  at = put (at, frame->flags, 1);
  at = put (at, frame->entries, 2);
  at = put (at, frame->sequence, 8);
  at = put (at, frame->acknowledged, 8);
  at = put (at, frame->interval, 8);
  at = put (at, frame->history, 8);
  for (unsigned i = 0; i < frame->entries; i++)
    {
      at = put (at, frame->entry[i].node, 2);
      at = put (at, frame->entry[i].interval, 8);
    }
  at = put_body (at, frame);
  put (bytes, (uint64_t)(at - bytes) - 4, 4);
  return (size_t)(at - bytes);
}

void
cs_wire_acknowledge (uint8_t *bytes, uint64_t acknowledged)
{
  put (bytes + CS_WIRE_ACK_AT, acknowledged, 8);
}

/* Against accidents, not against who wants to deceive: a word at a time. */
uint64_t
cs_wire_history (uint64_t history, const uint8_t *bytes, size_t n)
{
  for (size_t at = 0; at < n; at += sizeof (uint64_t))
    {
      uint64_t word = 0;
      if (at == CS_WIRE_ACK_AT || at == CS_WIRE_HISTORY_AT)
        continue;
      memcpy (&word, bytes + at, n - at < sizeof word ? n - at : sizeof word);
      history = (history ^ le64toh (word)) * UINT64_C (0x9e3779b97f4a7c15);
      history ^= history >> 29;
    }
  return history;
}

/* ---- reading ---- */

typedef struct
{
  const uint8_t *at;
  size_t left;
  const char *why; /* first thing that is wrong */
} Reader;

static void
wrong (Reader *reader, const char *why)
{
  if (reader->why == NULL)
    reader->why = why;
}

static const uint8_t *
take (Reader *reader, size_t n)
{
  static const uint8_t none[CS_DSM_PAGE];
  if (reader->left < n)
    {
      wrong (reader, "it is shorter than its kind");
      return none;
    }
  const uint8_t *at = reader->at;
  reader->at += n;
  reader->left -= n;
  return at;
}

static uint64_t
number (Reader *reader, unsigned bytes)
{
  const uint8_t *at = take (reader, bytes);
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value |= (uint64_t)at[i] << (8 * i);
  return value;
}

static uint64_t
interval (Reader *reader)
{
  uint64_t value = number (reader, 8);
  if (value > CS_WIRE_INTERVAL_MAX)
    wrong (reader, "an interval is out of range");
  return value;
}

static void
take_name (Reader *reader, CsFrame *frame)
{
  memcpy (frame->name, take (reader, CS_DSM_NAME), CS_DSM_NAME);
  size_t length = strnlen (frame->name, CS_DSM_NAME);
  if (length == CS_DSM_NAME)
    wrong (reader, "a name has no end");
  for (size_t i = 0; i < length && i < CS_DSM_NAME; i++)
    if ((unsigned char)frame->name[i] < ' ' || frame->name[i] == 0x7f)
      wrong (reader, "a name has control characters");
  frame->name[CS_DSM_NAME - 1] = '\0';
}

static void
take_hello (Reader *reader, CsFrame *frame)
{
  CsWireHello *hello = &frame->hello;
  hello->magic = number (reader, 8);
  hello->version = (uint16_t)number (reader, 2);
  hello->node = (uint16_t)number (reader, 2);
  hello->nodes = (uint16_t)number (reader, 2);
  number (reader, 2);
  hello->pages = (uint32_t)number (reader, 4);
  hello->block = (uint32_t)number (reader, 4);
  hello->incarnation = number (reader, 8);
  hello->expected = number (reader, 8);
  hello->received = number (reader, 8);
  take_name (reader, frame);
  if (hello->magic != CS_WIRE_MAGIC || hello->version != CS_WIRE_VERSION)
    wrong (reader, "it speaks another protocol or version");
}

static void
take_writer (Reader *reader, CsFrame *frame, unsigned nodes)
{
  frame->writer = (uint16_t)number (reader, 2);
  frame->writer_interval = interval (reader);
  if (frame->writer >= nodes && frame->writer != CS_WIRE_NOBODY)
    wrong (reader, "it names a node that does not exist");
}

static void
take_content (Reader *reader, CsFrame *frame)
{
  frame->content = (uint8_t)number (reader, 1);
  if (frame->content > CS_WIRE_PAGE)
    wrong (reader, "a page's content is of no known kind");
  else if (frame->content == CS_WIRE_PAGE)
    frame->page = take (reader, CS_DSM_PAGE);
}

static void
take_pass (Reader *reader, CsFrame *frame, unsigned nodes)
{
  frame->passed = (uint16_t)number (reader, 2);
  if (frame->passed != nodes)
    {
      wrong (reader, "a barrier was passed by another number of nodes");
      frame->passed = 0;
    }
  for (unsigned i = 0; i < frame->passed; i++)
    frame->pass[i] = interval (reader);
}

/* How many numbers there are of what @kind names; 0: it names nothing. */
static uint64_t
bound_of (uint8_t kind, uint32_t pages)
{
  switch (kind)
    {
    case CS_WIRE_FREEZE:
    case CS_WIRE_FROZEN:
      return UINT64_C (1) << 32;
    case CS_WIRE_READ:
    case CS_WIRE_WRITE:
    case CS_WIRE_INVALIDATE:
    case CS_WIRE_INVALIDATED:
    case CS_WIRE_RECALL:
    case CS_WIRE_RECALLED:
    case CS_WIRE_GRANT:
      return pages;
    case CS_WIRE_LOCK_ASK:
    case CS_WIRE_LOCK_GIVE:
    case CS_WIRE_LOCK_FREE:
      return CS_DSM_LOCKS;
    case CS_WIRE_ARRIVE:
    case CS_WIRE_PASS:
      return CS_DSM_BARRIERS + 1;
    default:
      return 0;
    }
}

static void
take_body (Reader *reader, CsFrame *frame, unsigned nodes, uint32_t pages)
{
  uint64_t bound = bound_of (frame->kind, pages);
  if (bound > 0)
    {
      frame->id = (uint32_t)number (reader, 4);
      if (frame->id >= bound)
        wrong (reader, "it names a page, lock or barrier that does not exist");
    }
  switch (frame->kind)
    {
    case CS_WIRE_HELLO:
      take_hello (reader, frame);
      break;
    case CS_WIRE_IDENTITY:
      take_name (reader, frame);
      break;
    case CS_WIRE_LOCK_GIVE:
      take_writer (reader, frame, nodes);
      break;
    case CS_WIRE_RECALLED:
    case CS_WIRE_GRANT:
      take_writer (reader, frame, nodes);
      take_content (reader, frame);
      break;
    case CS_WIRE_PASS:
      take_pass (reader, frame, nodes);
      break;
    case CS_WIRE_ACK:
    case CS_WIRE_PING:
    case CS_WIRE_BYE:
    case CS_WIRE_THAW:
      break;
    default:
      if (bound == 0)
        wrong (reader, "it is of no known kind");
    }
}

static void
take_entries (Reader *reader, CsFrame *frame, unsigned nodes)
{
  if (frame->entries > nodes)
    {
      wrong (reader, "its dependency vector is too long");
      frame->entries = 0;
    }
  for (unsigned i = 0; i < frame->entries; i++)
    {
      frame->entry[i].node = (uint16_t)number (reader, 2);
      frame->entry[i].interval = interval (reader);
      if (frame->entry[i].node >= nodes)
        wrong (reader, "its dependency vector names a node that does not exist");
    }
}

long
cs_wire_parse (const uint8_t *bytes, size_t n, unsigned nodes, uint32_t pages, CsFrame *frame,
               const char **why)
{
  Reader reader = { .at = bytes, .left = n };
  if (n < 4)
    return 0;
  uint64_t length = number (&reader, 4);
  if (length < CS_WIRE_HEADER - 4 || length > CS_WIRE_MAX - 4)
    {
      *why = "its length is out of range";
      return -1;
    }
  if (reader.left < length)
    return 0;
  reader.left = length;
  memset (frame, 0, offsetof (CsFrame, entry));
  frame->writer = CS_WIRE_NOBODY;
  frame->kind = (uint8_t)number (&reader, 1);
  frame->flags = (uint8_t)number (&reader, 1);
  frame->entries = (uint16_t)number (&reader, 2);
  frame->sequence = number (&reader, 8);
  frame->acknowledged = number (&reader, 8);
  frame->interval = interval (&reader);
  frame->history = number (&reader, 8);
  if ((frame->sequence == 0) != cs_wire_is_unsequenced (frame->kind))
    wrong (&reader, "its sequence number does not belong to its kind");
  take_entries (&reader, frame, nodes);
  if (reader.why == NULL)
    take_body (&reader, frame, nodes, pages);
  if (reader.why == NULL && reader.left > 0)
    wrong (&reader, "it is longer than its kind");
  *why = reader.why;
  return reader.why == NULL ? (long)length + 4 : -1;
}

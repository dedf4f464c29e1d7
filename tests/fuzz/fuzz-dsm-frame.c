/* What a peer sends to a DSM node: the parser must refuse or give bounded frames that encode to the
 * same bytes, and the engine must refuse or go on, with memory that is used as it allows. */
#include "config.h"

#include "guest-agent/dsm/engine.h"

#include <glib.h>
#include <string.h>

#define NODES 3
#define PAGES 6

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static bool present[PAGES], writable[PAGES];

static void
on_send (void *data, unsigned to, const CsFrame *frame)
{
  guint8 bytes[CS_WIRE_MAX];
  g_assert_cmpuint (to, <, NODES);
  g_assert_cmpuint (cs_wire_encode (frame, bytes), <=, CS_WIRE_MAX);
}

static void
on_install (void *data, uint32_t page, const uint8_t *content, bool write)
{
  g_assert (!present[page]);
  present[page] = true;
  writable[page] = write;
}

static void
on_allow (void *data, uint32_t page)
{
  g_assert (present[page] && !writable[page]);
  writable[page] = true;
}

static void
on_protect (void *data, uint32_t page)
{
  g_assert (present[page] && writable[page]);
  writable[page] = false;
}

static void
on_drop (void *data, uint32_t page)
{
  g_assert (present[page]);
  present[page] = false;
}

static void
on_read (void *data, uint32_t page, uint8_t *content)
{
  g_assert (present[page] && !writable[page]);
  memset (content, 0, CS_DSM_PAGE);
}

static void
on_number (void *data, uint32_t number)
{
}

static const CsEngineOutside outside = {
  on_send, on_install, on_allow, on_protect, on_drop, on_read, on_number, on_number, on_number,
};

static void
check_bytes (const CsFrame *frame, const guint8 *data, gsize n)
{
  guint8 bytes[CS_WIRE_MAX];
  g_assert_cmpuint (cs_wire_encode (frame, bytes), ==, n);
  /* A name's bytes behind its end and HELLO's padding are not kept. */
  if (frame->kind != CS_WIRE_HELLO && frame->kind != CS_WIRE_IDENTITY)
    g_assert_true (memcmp (bytes, data, n) == 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  memset (present, 0, sizeof present);
  memset (writable, 0, sizeof writable);
  CsEngine *engine = cs_engine_new (0, NODES, PAGES, 1, 0, &outside, NULL);
  cs_engine_fault (engine, 0, true);
  cs_engine_fault (engine, 1, false);
  cs_engine_fault (engine, 2, true);
  cs_engine_lock (engine, 1);
  cs_engine_arrive (engine, 1);
  bool good = true;
  while (good)
    {
      CsFrame frame;
      const char *why = NULL;
      long n = cs_wire_parse (data, size, NODES, PAGES, &frame, &why);
      if (n <= 0)
        {
          g_assert (n == 0 || why != NULL);
          break;
        }
      check_bytes (&frame, data, (gsize)n);
      guint from = 1 + frame.flags / 128 % 2;
      good = cs_engine_receive (engine, from, &frame);
      g_assert (good || cs_engine_violation (engine)[0] != '\0');
      data += n;
      size -= (gsize)n;
    }
  cs_engine_free (engine);
  return 0;
}

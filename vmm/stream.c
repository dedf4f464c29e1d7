/* Theory of operation
 *
 * What QEMU loads after `migrate-incoming` is, all numbers big-endian:
 *
 *   "QEVM"  be32 3                                   file header
 *   07  be32 n  machine type (n bytes)               configuration: must equal QEMU's own
 *   01  be32 ID  03 "ram"  be32 0  be32 4            section start: instance 0, version 4
 *       be64 total|MEM_SIZE                          total = sum of the lengths below
 *       { u8 n  name  be64 used length } ...         every RAM block
 *       be64 EOS   7e be32 ID                        end of the section, its footer
 *   03  be32 ID                                      section part: the pages
 *       { be64 offset|flags  [u8 n  name]  page } ...
 *           PAGE: 4096 bytes; ZERO: one byte 00; CONTINUE: same block as before, no name
 *       be64 EOS   7e be32 ID
 *   04 ...                                           the saved device sections, their final 00
 *   06  be32 2  "{}"                                 description of the devices: empty
 *
 * The section id must not be 0: QEMU's entries that have not been loaded yet all carry id 0, and
 * a part section with it would be given to the first of them.  Which id it is otherwise does not
 * matter: only part sections are looked up by it, and only RAM has one.
 *
 * A block that is listed but has no pages keeps what QEMU's memory holds: that is how a lazy
 * block is left out.  QEMU resizes a resizable block (ACPI tables) to the length listed and refuses
 * a different length of any other; blocks may come in any order and may be missing.
 */
#include "config.h"

#include "vmm/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "vmm/devstate.h"

#define PAGE 4096
#define BUFFER_SIZE (256 * 1024)
/* The longest that one entry of a page can be: offset, name, content. */
#define ENTRY_MAX (8 + 1 + 255 + PAGE)
/* QEMU that takes nothing for so long will not load any more. */
#define STALL_MS 30000

#define SECTION_ID 2

enum
{
  QEMU_VM_FILE_VERSION = 3,
  QEMU_VM_SECTION_START = 0x01,
  QEMU_VM_SECTION_PART = 0x03,
  QEMU_VM_VMDESCRIPTION = 0x06,
  QEMU_VM_CONFIGURATION = 0x07,
  QEMU_VM_SECTION_FOOTER = 0x7e,
};

enum
{
  RAM_SAVE_FLAG_ZERO = 0x02,
  RAM_SAVE_FLAG_MEM_SIZE = 0x04,
  RAM_SAVE_FLAG_PAGE = 0x08,
  RAM_SAVE_FLAG_EOS = 0x10,
  RAM_SAVE_FLAG_CONTINUE = 0x20,
};

typedef struct
{
  char *name;
  guint64 length;
} Block;

struct CsStream
{
  int fd;
  char *machine;
  GArray *blocks;      /* of Block */
  gint64 last_block;   /* of the entry before; -1: none */
  GByteArray *pending; /* not yet written */
};

static void
block_clear (gpointer data)
{
  g_free (((Block *)data)->name);
}

CsStream *
cs_stream_new (int fd, const char *machine)
{
  CsStream *stream = g_new0 (CsStream, 1);
  stream->fd = fd;
  stream->machine = g_strdup (machine);
  stream->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  g_array_set_clear_func (stream->blocks, block_clear);
  stream->last_block = -1;
  stream->pending = g_byte_array_sized_new (BUFFER_SIZE);
  return stream;
}

void
cs_stream_free (CsStream *stream)
{
  if (stream == NULL)
    return;
  g_array_unref (stream->blocks);
  g_byte_array_unref (stream->pending);
  g_free (stream->machine);
  g_free (stream);
}

void
cs_stream_add_block (CsStream *stream, const char *name, guint64 used_length)
{
  g_return_if_fail (name[0] != '\0' && strlen (name) <= 255);
  g_return_if_fail (used_length % PAGE == 0);
  Block block = { .name = g_strdup (name), .length = used_length };
  g_array_append_val (stream->blocks, block);
}

/* --- buffered output --- */

static bool
wait_writable (int fd, GError **error)
{
  struct pollfd poller = { .fd = fd, .events = POLLOUT };
  int n = poll (&poller, 1, STALL_MS);
  if (n < 0 && errno != EINTR)
    return cs_error_set_errno (error, errno, "cannot wait for QEMU to take its state");
  if (n == 0)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_DEADLINE,
                   "QEMU took nothing of its state for %d s: see its log", STALL_MS / 1000);
      return false;
    }
  return true;
}

/* A socket is written without SIGPIPE; other descriptors leave that to the process. */
static gssize
write_some (int fd, const guint8 *data, gsize length)
{
  gssize n = send (fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  return n < 0 && errno == ENOTSOCK ? write (fd, data, length) : n;
}

static bool
write_all (CsStream *stream, const guint8 *data, gsize length, GError **error)
{
  while (length > 0)
    {
      gssize n = write_some (stream->fd, data, length);
      if (n >= 0)
        {
          data += n;
          length -= (gsize)n;
        }
      else if (errno == EAGAIN)
        {
          if (!wait_writable (stream->fd, error))
            return false;
        }
      else if (errno == EPIPE || errno == ECONNRESET)
        {
          g_set_error_literal (error, CS_ERROR, CS_ERROR_GONE,
                               "QEMU stopped reading its state before the end");
          return false;
        }
      else if (errno != EINTR)
        return cs_error_set_errno (error, errno, "cannot send QEMU its state");
    }
  return true;
}

static bool
flush (CsStream *stream, GError **error)
{
  bool ok = write_all (stream, stream->pending->data, stream->pending->len, error);
  g_byte_array_set_size (stream->pending, 0);
  return ok;
}

static void
put_bytes (CsStream *stream, const void *data, gsize length)
{
  g_byte_array_append (stream->pending, data, (guint)length);
}

static void
put_byte (CsStream *stream, guint8 value)
{
  put_bytes (stream, &value, 1);
}

static void
put_be32 (CsStream *stream, guint32 value)
{
  guint32 bytes = GUINT32_TO_BE (value);
  put_bytes (stream, &bytes, sizeof bytes);
}

static void
put_be64 (CsStream *stream, guint64 value)
{
  guint64 bytes = GUINT64_TO_BE (value);
  put_bytes (stream, &bytes, sizeof bytes);
}

static void
put_counted (CsStream *stream, const char *text)
{
  put_byte (stream, (guint8)strlen (text));
  put_bytes (stream, text, strlen (text));
}

static void
put_section_end (CsStream *stream)
{
  put_be64 (stream, RAM_SAVE_FLAG_EOS);
  put_byte (stream, QEMU_VM_SECTION_FOOTER);
  put_be32 (stream, SECTION_ID);
}

/* --- the parts of the stream --- */

static void
put_header (CsStream *stream)
{
  put_bytes (stream, "QEVM", 4);
  put_be32 (stream, QEMU_VM_FILE_VERSION);
  put_byte (stream, QEMU_VM_CONFIGURATION);
  put_be32 (stream, (guint32)strlen (stream->machine));
  put_bytes (stream, stream->machine, strlen (stream->machine));
}

bool
cs_stream_begin (CsStream *stream, GError **error)
{
  put_header (stream);
  put_byte (stream, QEMU_VM_SECTION_START);
  put_be32 (stream, SECTION_ID);
  put_counted (stream, "ram");
  put_be32 (stream, 0);
  put_be32 (stream, 4);

  guint64 total = 0;
  for (guint i = 0; i < stream->blocks->len; i++)
    total += g_array_index (stream->blocks, Block, i).length;
  put_be64 (stream, total | RAM_SAVE_FLAG_MEM_SIZE);
  for (guint i = 0; i < stream->blocks->len; i++)
    {
      const Block *block = &g_array_index (stream->blocks, Block, i);
      put_counted (stream, block->name);
      put_be64 (stream, block->length);
    }
  put_section_end (stream);

  put_byte (stream, QEMU_VM_SECTION_PART);
  put_be32 (stream, SECTION_ID);
  return flush (stream, error);
}

static bool
put_page (CsStream *stream, guint block, guint64 page, guint64 flags, const void *data,
          gsize length, GError **error)
{
  g_return_val_if_fail (block < stream->blocks->len, false);
  const Block *of = &g_array_index (stream->blocks, Block, block);
  g_return_val_if_fail (page < of->length / PAGE, false);

  if (stream->pending->len + ENTRY_MAX > BUFFER_SIZE && !flush (stream, error))
    return false;
  bool same = stream->last_block == (gint64)block;
  put_be64 (stream, page * PAGE | flags | (same ? RAM_SAVE_FLAG_CONTINUE : 0));
  if (!same)
    put_counted (stream, of->name);
  put_bytes (stream, data, length);
  stream->last_block = block;
  return true;
}

bool
cs_stream_page (CsStream *stream, guint block, guint64 page, const void *data, GError **error)
{
  return put_page (stream, block, page, RAM_SAVE_FLAG_PAGE, data, PAGE, error);
}

bool
cs_stream_zero_page (CsStream *stream, guint block, guint64 page, GError **error)
{
  return put_page (stream, block, page, RAM_SAVE_FLAG_ZERO, "", 1, error);
}

bool
cs_stream_end (CsStream *stream, const void *device_state, gsize length, GError **error)
{
  if (!cs_device_state_check (device_state, length, error))
    return false;
  put_section_end (stream);
  const gsize header = 8; /* "QEVM" and the version: ours went out first */
  put_bytes (stream, (const guint8 *)device_state + header, length - header);
  put_byte (stream, QEMU_VM_VMDESCRIPTION);
  put_be32 (stream, 2);
  put_bytes (stream, "{}", 2);
  return flush (stream, error);
}

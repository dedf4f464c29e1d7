/* Big-endian.  docs/interop/qcow2.txt of QEMU's source, version 3:
 *
 *   cluster 0    header, header extensions, name of the backing file
 *   cluster 1    refcount table: one entry
 *   cluster 2    refcount block: 1 for each cluster of this file
 *   cluster 3 …  L1 table: all zero, so every read goes to the backing file
 *
 * qemu-img would make the same, in a process of its own for each of a clone's disks. */
#include "config.h"

#include "vmm/clone-overlay.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CLUSTER CS_OVERLAY_CLUSTER_SIZE
#define HEADER_LENGTH 104
#define EXTENSION_BACKING_FORMAT 0xE2792ACA
#define BACKING_MAX 1023
/* What one L1 entry covers: a cluster of L2 entries. */
#define L1_COVERS ((guint64)CLUSTER * (CLUSTER / 8))
#define SIZE_MAX_BYTES (L1_COVERS * CLUSTER / 8 * 64)

static void
put32 (GByteArray *bytes, guint at, guint32 value)
{
  value = GUINT32_TO_BE (value);
  memcpy (bytes->data + at, &value, sizeof value);
}

static void
put64 (GByteArray *bytes, guint at, guint64 value)
{
  value = GUINT64_TO_BE (value);
  memcpy (bytes->data + at, &value, sizeof value);
}

static void
put_header (GByteArray *bytes, guint64 size, guint l1_entries, const char *backing)
{
  static const char format[] = "raw";
  guint name_at = HEADER_LENGTH + 8 + 8 + 8;
  memcpy (bytes->data, "QFI\xfb", 4);
  put32 (bytes, 4, 3);
  put64 (bytes, 8, name_at);
  put32 (bytes, 16, (guint32)strlen (backing));
  put32 (bytes, 20, 16); /* cluster bits */
  put64 (bytes, 24, size);
  put32 (bytes, 36, l1_entries);
  put64 (bytes, 40, 3 * CLUSTER);
  put64 (bytes, 48, 1 * CLUSTER);
  put32 (bytes, 56, 1); /* cluster of the refcount table */
  put32 (bytes, 96, 4); /* refcount bits: 1 << 4 */
  put32 (bytes, 100, HEADER_LENGTH);
  put32 (bytes, HEADER_LENGTH, EXTENSION_BACKING_FORMAT);
  put32 (bytes, HEADER_LENGTH + 4, sizeof format - 1);
  memcpy (bytes->data + HEADER_LENGTH + 8, format, sizeof format - 1);
  memcpy (bytes->data + name_at, backing, strlen (backing));
}

static GByteArray *
format_image (guint64 size, const char *backing)
{
  guint l1_entries = (guint)((size + L1_COVERS - 1) / L1_COVERS);
  guint l1_clusters = (l1_entries * 8 + CLUSTER - 1) / CLUSTER;
  GByteArray *bytes = g_byte_array_new ();
  g_byte_array_set_size (bytes, 3 * CLUSTER);
  memset (bytes->data, 0, bytes->len);
  put_header (bytes, size, l1_entries, backing);
  put64 (bytes, CLUSTER, 2 * CLUSTER);
  for (guint i = 0; i < 3 + l1_clusters; i++)
    bytes->data[2 * CLUSTER + 2 * i + 1] = 1;
  return bytes;
}

bool
cs_clone_overlay_make (const char *path, guint64 size, const char *backing, GError **error)
{
  if (size == 0 || size > SIZE_MAX_BYTES || strlen (backing) > BACKING_MAX)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "overlay '%s' cannot be made: the disk is too large, or its server's path too "
                   "long",
                   path);
      return false;
    }
  cs_autofd int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST)
    g_set_error (error, CS_ERROR, CS_ERROR_EXISTS, "'%s' exists already", path);
  else if (fd < 0)
    cs_error_set_errno (error, errno, "cannot make '%s'", path);
  if (fd < 0)
    return false;
  g_autoptr (GByteArray) bytes = format_image (size, backing);
  guint64 l1 = (size + L1_COVERS - 1) / L1_COVERS * 8;
  guint64 length = bytes->len + (l1 + CLUSTER - 1) / CLUSTER * CLUSTER;
  if (ftruncate (fd, (off_t)length) < 0)
    return cs_error_set_errno (error, errno, "cannot make '%s'", path);
  return cs_fd_write_all (fd, bytes->data, bytes->len, 0, path, error);
}

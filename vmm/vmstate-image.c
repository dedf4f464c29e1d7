/* Theory of operation
 *
 * All numbers are big-endian.  Clusters of 64 KiB; the file is
 *
 *   0  header (version 3)               3  active L1 table: 2 entries, both empty
 *   1  refcount table: 1 entry          4  the snapshot's L1 table: entry 1 -> L2
 *   2  refcount block: one be16 per     5  snapshot table: 1 entry
 *      cluster of the file, all 1       6  L2 table -> the clusters below, one after the other
 *                                       7  the VM state
 *
 * The disk has 1 MiB and no content.  The VM state lies behind the disk's end, at the first address
 * that has an L1 entry of its own: with 8192 entries of 64 KiB per L2 table entry 0 maps the disk,
 * and entry 1 the VM state, up to 512 MiB of it.
 *
 * Loading makes the snapshot's L1 table the active one and counts its clusters once more, so QEMU
 * writes to the image. */
#include "config.h"

#include "vmm/vmstate-image.h"

#include "common/error.h"
#include "common/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CLUSTER_BITS 16
#define CLUSTER ((guint64)1 << CLUSTER_BITS)
#define L1_ENTRIES 2
#define L2_ENTRIES (CLUSTER / 8)
#define DISK_SIZE (1024 * 1024)
#define REFCOUNT_ORDER 4 /* 16 bits */
#define HEADER_LENGTH 104
#define STATE_MAX (500u << 20)
/* The cluster is used once: in L1 and L2 entries. */
#define COPIED (G_GUINT64_CONSTANT (1) << 63)

/* Clusters of the file. */
enum
{
  AT_REFCOUNT_TABLE = 1,
  AT_REFCOUNT_BLOCK,
  AT_ACTIVE_L1,
  AT_SNAPSHOT_L1,
  AT_SNAPSHOTS,
  AT_L2,
  AT_STATE,
};

static void
put16 (guint8 *at, guint16 value)
{
  value = GUINT16_TO_BE (value);
  memcpy (at, &value, sizeof value);
}

static void
put32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_BE (value);
  memcpy (at, &value, sizeof value);
}

static void
put64 (guint8 *at, guint64 value)
{
  value = GUINT64_TO_BE (value);
  memcpy (at, &value, sizeof value);
}

static void
make_header (guint8 *at)
{
  memcpy (at, "QFI\xfb", 4);
  put32 (at + 4, 3); /* version */
  put32 (at + 20, CLUSTER_BITS);
  put64 (at + 24, DISK_SIZE);
  put32 (at + 36, L1_ENTRIES);
  put64 (at + 40, AT_ACTIVE_L1 * CLUSTER);
  put64 (at + 48, AT_REFCOUNT_TABLE * CLUSTER);
  put32 (at + 56, 1); /* clusters of the refcount table */
  put32 (at + 60, 1); /* snapshots */
  put64 (at + 64, AT_SNAPSHOTS * CLUSTER);
  put32 (at + 96, REFCOUNT_ORDER);
  put32 (at + 100, HEADER_LENGTH);
}

static void
make_snapshot (guint8 *at, guint64 state_size)
{
  const gsize extra = 16;
  put64 (at, AT_SNAPSHOT_L1 * CLUSTER);
  put32 (at + 8, L1_ENTRIES);
  put16 (at + 12, 1); /* length of the id */
  put16 (at + 14, (guint16)strlen (CS_VMSTATE_TAG));
  put32 (at + 32, (guint32)state_size);
  put32 (at + 36, extra);
  put64 (at + 40, state_size);
  put64 (at + 48, DISK_SIZE);
  at[40 + extra] = '1'; /* the id */
  memcpy (at + 40 + extra + 1, CS_VMSTATE_TAG, strlen (CS_VMSTATE_TAG));
}

/* The first AT_STATE clusters. */
static void
make_tables (guint8 *image, guint64 state_size)
{
  guint64 state_clusters = (state_size + CLUSTER - 1) >> CLUSTER_BITS;
  make_header (image);
  put64 (image + AT_REFCOUNT_TABLE * CLUSTER, AT_REFCOUNT_BLOCK * CLUSTER);
  for (guint64 i = 0; i < AT_STATE + state_clusters; i++)
    put16 (image + AT_REFCOUNT_BLOCK * CLUSTER + i * 2, 1);
  put64 (image + AT_SNAPSHOT_L1 * CLUSTER + 8, AT_L2 * CLUSTER | COPIED);
  make_snapshot (image + AT_SNAPSHOTS * CLUSTER, state_size);
  for (guint64 i = 0; i < state_clusters; i++)
    put64 (image + AT_L2 * CLUSTER + i * 8, (AT_STATE + i) * CLUSTER | COPIED);
}

static bool
finish (int fd, GError **error)
{
  off_t end = lseek (fd, 0, SEEK_CUR);
  guint64 state_size = (guint64)end - AT_STATE * CLUSTER;
  if (end <= (off_t)(AT_STATE * CLUSTER) || state_size > STATE_MAX)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
                   "a VM state of %" G_GUINT64_FORMAT " bytes cannot be loaded", state_size);
      return false;
    }
  g_autofree guint8 *tables = g_malloc0 (AT_STATE * CLUSTER);
  make_tables (tables, state_size);
  if (ftruncate (fd, (end + (off_t)CLUSTER - 1) & ~((off_t)CLUSTER - 1)) < 0)
    return cs_error_set_errno (error, errno, "cannot extend the image of the VM state");
  return cs_fd_write_all (fd, tables, AT_STATE * CLUSTER, 0, "image of the VM state", error);
}

int
cs_vmstate_image_make (CsVmStateFunc func, void *user_data, GError **error)
{
  G_STATIC_ASSERT (AT_STATE + STATE_MAX / CLUSTER < L2_ENTRIES);
  cs_autofd int fd = memfd_create ("clusnap-vmstate", MFD_CLOEXEC);
  if (fd < 0 || lseek (fd, AT_STATE * CLUSTER, SEEK_SET) < 0)
    {
      cs_error_set_errno (error, errno, "cannot make a memory file for the VM state");
      return -1;
    }
  return func (fd, user_data, error) && finish (fd, error) ? cs_fd_steal (&fd) : -1;
}

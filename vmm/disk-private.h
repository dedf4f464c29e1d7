/* What the files of disk.h share: names of what we put into QEMU, and access to QMP replies. */
#ifndef CS_VMM_DISK_PRIVATE_H
#define CS_VMM_DISK_PRIVATE_H

#include "common/json.h"
#include "vmm/disk.h"

/* Everything of ours in a QEMU begins so; node names have at most 31 bytes. */
#define CS_DISK_PREFIX "clusnap-"
#define CS_DISK_NODE CS_DISK_PREFIX "fl%u"
#define CS_DISK_JOB CS_DISK_PREFIX "job%u"
#define CS_DISK_EXPORT CS_DISK_PREFIX "export%u"
/* A rollback's nodes, each followed by the disk's number: disk-divert.c. */
#define CS_DISK_EMPTY CS_DISK_PREFIX "empty"
#define CS_DISK_HOLD CS_DISK_PREFIX "hold"
#define CS_DISK_FRONT CS_DISK_PREFIX "front"
#define CS_DISK_BACK CS_DISK_PREFIX "back"
#define CS_DISK_FDSET CS_DISK_PREFIX "scratch" /* the fd set's "opaque" */
#define CS_DISK_SOCKET CS_DISK_PREFIX "nbd"    /* getfd name of the NBD server's socket */

/* Bytes per bit: QEMU's default, and qcow2's usual cluster. */
#define CS_DISK_GRANULARITY 65536

/* Members of a QMP reply, besides common/json.h; absent or of another type is NULL, 0, false. */
static inline json_object *
cs_member (json_object *object, const char *key)
{
  json_object *value = NULL;
  return json_object_is_type (object, json_type_object)
                 && json_object_object_get_ex (object, key, &value)
             ? value
             : NULL;
}

static inline gint64
cs_member_int (json_object *object, const char *key)
{
  json_object *value = cs_member (object, key);
  return json_object_is_type (value, json_type_int) ? json_object_get_int64 (value) : 0;
}

static inline bool
cs_member_true (json_object *object, const char *key)
{
  json_object *value = cs_member (object, key);
  return json_object_is_type (value, json_type_boolean) && json_object_get_boolean (value);
}

/* An object of string members; the list of key, value ends with NULL. */
json_object *cs_json_strings (const char *key, ...) G_GNUC_NULL_TERMINATED;

/* Waits until no member "@key" of the array that @command answers begins with @prefix. */
bool cs_disk_wait_absent (CsMonitor *monitor, const char *command, const char *key,
                          const char *prefix, GError **error);

/* The bitmap @name of node @info (query-named-block-nodes), or NULL. */
json_object *cs_disk_find_bitmap (json_object *info, const char *name);

#endif

/* Runs qemu-img(1), which does what needs no QEMU: creating, rebasing and committing images. */
#ifndef CS_VMM_QEMU_IMG_H
#define CS_VMM_QEMU_IMG_H

#include <gio/gio.h>
#include <json-c/json.h>
#include <stdbool.h>

/* For whoever starts one.  All descriptors close on exec, but for libnftables' short-lived sockets;
 * told to close them itself, GLib would fork (spawn.c). */
#define CS_QEMU_IMG_FLAGS (G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_INHERIT_FDS)

/* What `qemu-img info` tells of the qcow2 image @path, which a QEMU may have open: fields as in
 * QMP's ImageInfo.  A new reference. */
json_object *cs_qemu_img_info (const char *path, GError **error);

/* @arguments: those after "qemu-img", NULL at the end.  Waits for its end.  FAILED with its own
 * words. */
bool cs_qemu_img_run (const char *const *arguments, GError **error);

#endif

/* Runs qemu-img(1), which does what needs no QEMU: creating, rebasing and committing images. */
#ifndef CS_VMM_QEMU_IMG_H
#define CS_VMM_QEMU_IMG_H

#include <glib.h>
#include <stdbool.h>

/* @arguments: those after "qemu-img", NULL at the end.  Waits for its end.  FAILED with its own
 * words. */
bool cs_qemu_img_run (const char *const *arguments, GError **error);

#endif

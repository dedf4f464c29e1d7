/* UUIDs as text (lower case, with hyphens) and as 16 bytes. */
#ifndef CS_IMAGES_UUID_H
#define CS_IMAGES_UUID_H

#include <glib.h>
#include <stdbool.h>

bool cs_uuid_parse (const char *text, guint8 bytes[16]);
char *cs_uuid_format (const guint8 bytes[16]);

/* A new one (g_free), and other random bytes, from the kernel: GLib's generator would repeat
 * itself in a forked process. */
char *cs_uuid_random (void);
void cs_random_bytes (void *bytes, gsize length);

#endif

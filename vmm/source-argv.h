/* The arguments of a bare QEMU: what has to change so that it can be started again. */
#ifndef CS_VMM_SOURCE_ARGV_H
#define CS_VMM_SOURCE_ARGV_H

#include <glib.h>

/* @arguments without what says how to begin (-S, -incoming, -loadvm) or to leave the terminal
 * (-daemonize): a launch adds its own.  So a restored VM's arguments come out as the first
 * one's.  REFUSED when an argument names a descriptor that QEMU was handed at its start: nobody
 * could hand it over again. */
GStrv cs_source_argv_clean (const char *const *arguments, GError **error);

#endif

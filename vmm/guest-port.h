/* A virtio-serial port to a program in the guest, by its name.
 *
 * Worker.  The chardev behind it must be a listening unix socket; libvirt's channels of type unix
 * are such, too, and their path is what QEMU says it is. */
#ifndef CS_VMM_GUEST_PORT_H
#define CS_VMM_GUEST_PORT_H

#include "vmm/monitor.h"

/* The "filename" of query-chardev for the port @name, which something in the guest has open.
 * Errors: NOT_FOUND (no such port, or nothing in the guest has it open). */
char *cs_guest_port_find (CsMonitor *monitor, const char *name, GError **error);

/* The unix socket that a chardev's "filename" names, if it listens and nobody is connected. Errors:
 * UNSUPPORTED, BUSY. */
char *cs_guest_port_socket_path (const char *filename, GError **error);

/* Connects to that socket (non-blocking), or -1. */
int cs_guest_port_connect (CsMonitor *monitor, const char *filename, GError **error);

#endif

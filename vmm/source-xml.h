/* A domain's XML for a launch: `-incoming defer` among libvirt's pass-through arguments. */
#ifndef CS_VMM_SOURCE_XML_H
#define CS_VMM_SOURCE_XML_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* No network, no entities, no white space between elements: the XML may come from a store.
 * INVALID: no domain's XML. */
xmlDoc *cs_source_xml_parse (const char *xml, GError **error);
char *cs_source_xml_format (xmlDoc *document);

/* The XML with `-incoming defer` added to <qemu:commandline>.  INVALID: no domain's XML. */
char *cs_source_xml_add_incoming (const char *xml, GError **error);

/* The XML without what the above added (and unchanged in meaning where nothing was). */
char *cs_source_xml_strip_incoming (const char *xml, GError **error);

/* ---- lazy disks (lazy-disks.h): source-xml-disks.c; stripping, as above, takes out all of it ----
 */

/* How the socket of a backing image of ours is recognized. */
#define CS_SOURCE_BACKING_SOCKET "/clusnap-serve-"
/* How the name of an image ends that stands for one of @format: raw, or qcow2 above a backing image
 * of its own. */
const char *cs_source_overlay_suffix (const char *format);
/* Takes that off the end of @file; the format.  NULL: it is no such image, @file stays. */
const char *cs_source_overlay_strip (char *file);

/* The XML in which the disk of file @file has a backing image: @name of the NBD server at @socket.
 * QEMU tries for @delay seconds to reach a server that went away.  NOT_FOUND: no such disk. */
char *cs_source_xml_set_backing (const char *xml, const char *file, const char *socket,
                                 const char *name, guint delay, GError **error);

/* Whether libvirt lets the disk of file @file, of format @format, be another qcow2 image for a
 * time, and copies it back: it would lose filters, and has no shared qcow2 images. */
bool cs_source_xml_can_overlay (const char *xml, const char *file, const char *format);
/* The XML in which that disk is the qcow2 image @overlay.  NOT_FOUND: no such disk. */
char *cs_source_xml_set_overlay (const char *xml, const char *file, const char *overlay,
                                 GError **error);

/* libvirt's job that copies such a disk to @file. */
typedef enum
{
  CS_SOURCE_COPY_NONE,
  CS_SOURCE_COPY_RUNS,
  CS_SOURCE_COPY_READY, /* what is written is in both */
  CS_SOURCE_COPY_PIVOT, /* @file is about to be the disk */
  CS_SOURCE_COPY_OTHER, /* somebody else's job */
} CsSourceCopy;

/* <disk> of the disk for which @overlay stands as it is without all this (g_free), out of a running
 * domain's XML; of a qcow2 one libvirt is left to look for its backing images.  NOT_FOUND: the
 * domain has no such disk, or not as its topmost image. */
char *cs_source_xml_get_disk (const char *xml, const char *overlay, CsSourceCopy *copy,
                              GError **error);

/* For stripping. */
void cs_source_xml_strip_disks (xmlDoc *document);

/* ---- */

/* Its <uuid> (g_free). */
char *cs_source_xml_uuid (const char *xml, GError **error);

#endif

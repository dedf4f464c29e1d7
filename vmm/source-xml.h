/* A domain's XML for a launch: `-incoming defer` among libvirt's pass-through arguments. */
#ifndef CS_VMM_SOURCE_XML_H
#define CS_VMM_SOURCE_XML_H

#include <glib.h>
#include <libxml/tree.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* No network, no entities, no white space between elements: the XML may come from a store.
 * INVALID: no domain's XML. */
xmlDoc *cs_source_xml_parse (const char *xml, GError **error);
char *cs_source_xml_format (xmlDoc *document);

/* The XML with `-incoming defer` added to <qemu:commandline>.  INVALID: no domain's XML. */
char *cs_source_xml_add_incoming (const char *xml, GError **error);

/* The XML without what the above added (and unchanged in meaning where nothing was). */
char *cs_source_xml_strip_incoming (const char *xml, GError **error);

/* How the socket of a backing image of ours is recognized. */
#define CS_SOURCE_BACKING_SOCKET "/clusnap-serve-"

/* The XML in which the disk of file @file has a backing image: @name of the NBD server at @socket.
 * QEMU tries for @delay seconds to reach a server that went away.  NOT_FOUND: no such disk.
 * Stripping, as above, takes it out again. */
char *cs_source_xml_set_backing (const char *xml, const char *file, const char *socket,
                                 const char *name, guint delay, GError **error);

/* Its <uuid> (g_free). */
char *cs_source_xml_uuid (const char *xml, GError **error);

#endif

/* Lazy disks (lazy-disks.h) in a domain's XML: what they are at the launch, and back. */
#include "config.h"

#include "vmm/source-xml.h"

#include "common/error.h"

#include <string.h>

#define XML(text) ((const xmlChar *)(text))

static xmlNode *
find_child (xmlNode *parent, const char *name)
{
  for (xmlNode *node = parent != NULL ? xmlFirstElementChild (parent) : NULL; node != NULL;
       node = xmlNextElementSibling (node))
    if (xmlStrEqual (node->name, XML (name)))
      return node;
  return NULL;
}

/* NULL: none, or no node (g_free). */
static char *
get_property (xmlNode *node, const char *name)
{
  xmlChar *value = node != NULL ? xmlGetNoNsProp (node, XML (name)) : NULL;
  char *copy = g_strdup ((const char *)value);
  xmlFree (value);
  return copy;
}

static void
remove_node (xmlNode *node)
{
  if (node == NULL)
    return;
  xmlUnlinkNode (node);
  xmlFreeNode (node);
}

static xmlNode *
first_disk (xmlDoc *document)
{
  return find_child (find_child (xmlDocGetRootElement (document), "devices"), "disk");
}

static xmlNode *
next_disk (xmlNode *disk)
{
  do
    disk = xmlNextElementSibling (disk);
  while (disk != NULL && !xmlStrEqual (disk->name, XML ("disk")));
  return disk;
}

static xmlNode *
find_disk (xmlDoc *document, const char *file)
{
  for (xmlNode *disk = first_disk (document); disk != NULL; disk = next_disk (disk))
    {
      g_autofree char *value = get_property (find_child (disk, "source"), "file");
      if (g_strcmp0 (value, file) == 0)
        return disk;
    }
  return NULL;
}

/* The same, in @document (given, freed by the caller) parsed from @xml. */
static xmlNode *
find_disk_in (const char *xml, const char *file, xmlDoc **document, GError **error)
{
  *document = cs_source_xml_parse (xml, error);
  xmlNode *disk = *document != NULL ? find_disk (*document, file) : NULL;
  if (*document != NULL && disk == NULL)
    g_set_error (error, CS_ERROR, CS_ERROR_NOT_FOUND, "the domain's XML has no disk '%s'", file);
  return disk;
}

/* Another file, of another format; everything else of the disk stays. */
static void
set_image (xmlNode *disk, const char *file, const char *format)
{
  xmlSetProp (find_child (disk, "source"), XML ("file"), XML (file));
  if (find_child (disk, "driver") != NULL)
    xmlSetProp (find_child (disk, "driver"), XML ("type"), XML (format));
}

/* The disk has no backing image, and libvirt need not look. */
static xmlNode *
empty_backing (xmlNode *disk)
{
  xmlNode *old = find_child (disk, "backingStore");
  xmlNode *empty = xmlNewNode (disk->ns, XML ("backingStore"));
  if (old == NULL)
    return xmlAddNextSibling (find_child (disk, "source"), empty);
  xmlReplaceNode (old, empty);
  xmlFreeNode (old);
  return empty;
}

static const struct
{
  const char *format, *suffix;
} overlays[] = { { "raw", ".clusnap-lazy" }, { "qcow2", ".clusnap-lazy-qcow2" } };

const char *
cs_source_overlay_suffix (const char *format)
{
  for (guint i = 0; i < G_N_ELEMENTS (overlays); i++)
    if (strcmp (format, overlays[i].format) == 0)
      return overlays[i].suffix;
  g_assert_not_reached ();
}

const char *
cs_source_overlay_strip (char *file)
{
  for (guint i = 0; i < G_N_ELEMENTS (overlays); i++)
    if (g_str_has_suffix (file, overlays[i].suffix))
      {
        file[strlen (file) - strlen (overlays[i].suffix)] = '\0';
        return overlays[i].format;
      }
  return NULL;
}

static void
strip_disk (xmlNode *disk)
{
  xmlNode *source = find_child (disk, "source");
  xmlNode *backing = find_child (find_child (disk, "backingStore"), "source");
  g_autofree char *socket = get_property (find_child (backing, "host"), "socket");
  if (socket == NULL || strstr (socket, CS_SOURCE_BACKING_SOCKET) == NULL)
    return;
  g_autofree char *file = get_property (source, "file");
  const char *format = file != NULL ? cs_source_overlay_strip (file) : NULL;
  xmlNode *empty = empty_backing (disk);
  if (format == NULL)
    return;
  if (strcmp (format, "raw") != 0)
    remove_node (empty);
  set_image (disk, file, format);
  remove_node (find_child (disk, "mirror"));
}

void
cs_source_xml_strip_disks (xmlDoc *document)
{
  for (xmlNode *disk = first_disk (document); disk != NULL; disk = next_disk (disk))
    strip_disk (disk);
}

char *
cs_source_xml_set_backing (const char *xml, const char *file, const char *socket, const char *name,
                           guint delay, GError **error)
{
  g_autoptr (xmlDoc) document = NULL;
  xmlNode *disk = find_disk_in (xml, file, &document, error);
  if (disk == NULL)
    return NULL;
  g_autofree char *seconds = g_strdup_printf ("%u", delay);
  xmlNode *backing = empty_backing (disk);
  xmlNewProp (backing, XML ("type"), XML ("network"));
  xmlNewProp (xmlNewChild (backing, NULL, XML ("format"), NULL), XML ("type"), XML ("raw"));
  xmlNode *source = xmlNewChild (backing, NULL, XML ("source"), NULL);
  xmlNewProp (source, XML ("protocol"), XML ("nbd"));
  xmlNewProp (source, XML ("name"), XML (name));
  xmlNode *host = xmlNewChild (source, NULL, XML ("host"), NULL);
  xmlNewProp (host, XML ("transport"), XML ("unix"));
  xmlNewProp (host, XML ("socket"), XML (socket));
  xmlNewProp (xmlNewChild (source, NULL, XML ("reconnect"), NULL), XML ("delay"), XML (seconds));
  xmlNewChild (backing, NULL, XML ("backingStore"), NULL);
  return cs_source_xml_format (document);
}

bool
cs_source_xml_can_overlay (const char *xml, const char *file, const char *format)
{
  g_autoptr (xmlDoc) document = NULL;
  xmlNode *disk = find_disk_in (xml, file, &document, NULL);
  xmlNode *driver = find_child (disk, "driver");
  g_autofree char *device = get_property (disk, "device");
  g_autofree char *type = get_property (driver, "type");
  g_autofree char *filter = get_property (driver, "copy_on_read");
  static const char *const others[] = { "shareable", "transient", "throttlefilters" };
  bool can = g_strcmp0 (type, format) == 0 && g_strcmp0 (filter, "on") != 0
             && (device == NULL || strcmp (device, "disk") == 0);
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    can = can && find_child (disk, others[i]) == NULL;
  return can;
}

char *
cs_source_xml_set_overlay (const char *xml, const char *file, const char *overlay, GError **error)
{
  g_autoptr (xmlDoc) document = NULL;
  xmlNode *disk = find_disk_in (xml, file, &document, error);
  if (disk == NULL)
    return NULL;
  set_image (disk, overlay, "qcow2");
  return cs_source_xml_format (document);
}

/* Of the job that copies a disk to @file; @mirror is libvirt's description, NULL: it has none. */
static CsSourceCopy
find_copy (xmlNode *mirror, const char *file)
{
  static const char *const states[] = {
    [CS_SOURCE_COPY_READY] = "yes", [CS_SOURCE_COPY_PIVOT] = "pivot"
  };
  g_autofree char *target = get_property (find_child (mirror, "source"), "file");
  g_autofree char *ready = get_property (mirror, "ready");
  if (mirror == NULL)
    return CS_SOURCE_COPY_NONE;
  if (g_strcmp0 (target, file) != 0)
    return CS_SOURCE_COPY_OTHER;
  for (guint i = 0; i < G_N_ELEMENTS (states); i++)
    if (states[i] != NULL && g_strcmp0 (ready, states[i]) == 0)
      return (CsSourceCopy)i;
  return CS_SOURCE_COPY_RUNS;
}

char *
cs_source_xml_get_disk (const char *xml, const char *overlay, CsSourceCopy *copy, GError **error)
{
  g_autoptr (xmlDoc) document = NULL;
  xmlNode *disk = find_disk_in (xml, overlay, &document, error);
  if (disk == NULL)
    return NULL;
  xmlNode *mirror = xmlCopyNode (find_child (disk, "mirror"), 1);
  strip_disk (disk);
  g_autofree char *file = get_property (find_child (disk, "source"), "file");
  *copy = find_copy (mirror, file);
  xmlFreeNode (mirror);
  xmlUnsetProp (find_child (disk, "source"), XML ("index"));
  xmlBuffer *buffer = xmlBufferCreate ();
  xmlNodeDump (buffer, document, disk, 0, 0);
  char *text = g_strdup ((const char *)xmlBufferContent (buffer));
  xmlBufferFree (buffer);
  return text;
}

#include "config.h"

#include "vmm/clone-xml-private.h"

#include "common/error.h"
#include "vmm/clone-argv.h"
#include "vmm/source-xml.h"

#include <stdarg.h>
#include <string.h>

bool
cs_clone_xml_refuse (const CsCloneXml *context, const xmlNode *element, GError **error,
                     const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CS_ERROR, CS_ERROR_REFUSED, "VM '%s' cannot be cloned: its <%s>: %s",
               cs_clone_plan_vm_member (context->vm, "name"), (const char *)element->name, why);
  return false;
}

bool
cs_clone_xml_is (const xmlNode *node, const char *name)
{
  return node != NULL && node->type == XML_ELEMENT_NODE && xmlStrEqual (node->name, XML (name));
}

xmlNode *
cs_clone_xml_child (const xmlNode *parent, const char *name)
{
  for (xmlNode *node = parent != NULL ? parent->children : NULL; node != NULL; node = node->next)
    if (cs_clone_xml_is (node, name))
      return node;
  return NULL;
}

char *
cs_clone_xml_attribute (const xmlNode *node, const char *name)
{
  xmlChar *text = node != NULL ? xmlGetNoNsProp (node, XML (name)) : NULL;
  char *copy = g_strdup ((const char *)text);
  xmlFree (text);
  return copy;
}

void
cs_clone_xml_set (xmlNode *node, const char *name, const char *value)
{
  xmlSetProp (node, XML (name), XML (value));
}

void
cs_clone_xml_unset (xmlNode *node, const char *name)
{
  if (node != NULL)
    xmlUnsetProp (node, XML (name));
}

void
cs_clone_xml_remove (xmlNode *node)
{
  if (node == NULL)
    return;
  xmlUnlinkNode (node);
  xmlFreeNode (node);
}

char *
cs_clone_xml_text (const xmlNode *node)
{
  xmlChar *text = node != NULL ? xmlNodeGetContent (node) : NULL;
  char *copy = text != NULL ? g_strstrip (g_strdup ((const char *)text)) : NULL;
  xmlFree (text);
  return copy;
}

void
cs_clone_xml_set_text (xmlNode *node, const char *text)
{
  xmlNodeSetContent (node, NULL);
  xmlNodeAddContent (node, XML (text));
}

/* ---- the firmware's variables ---- */

static bool
rewrite_firmware (CsCloneXml *context, xmlNode *os, GError **error)
{
  xmlNode *loader = cs_clone_xml_child (os, "loader");
  g_autofree char *type = cs_clone_xml_attribute (loader, "type");
  g_autofree char *read_only = cs_clone_xml_attribute (loader, "readonly");
  if (g_strcmp0 (type, "pflash") == 0 && g_strcmp0 (read_only, "no") == 0)
    return cs_clone_xml_refuse (context, loader, error,
                                "both VMs would write to the same firmware: make it read-only");
  xmlNode *nvram = cs_clone_xml_child (os, "nvram");
  xmlNode *source = cs_clone_xml_child (nvram, "source");
  g_autofree char *own = cs_clone_xml_attribute (source, "file");
  g_autofree char *text = source == NULL ? cs_clone_xml_text (nvram) : NULL;
  if (nvram == NULL)
    return true;
  if (own != NULL)
    cs_clone_xml_set (source, "file", cs_clone_plan_vm_copy (context->vm, own));
  else if (text != NULL && text[0] == '/')
    cs_clone_xml_set_text (nvram, cs_clone_plan_vm_copy (context->vm, text));
  else
    return cs_clone_xml_refuse (context, nvram, error, "it names no file");
  return true;
}

/* ---- arguments that libvirt passes through ---- */

static bool
rewrite_commandline (CsCloneXml *context, xmlNode *commandline, GError **error)
{
  g_autoptr (GPtrArray) arguments = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (arguments, g_strdup ("qemu"));
  for (xmlNode *node = commandline->children, *next; node != NULL; node = next)
    {
      next = node->next;
      if (!cs_clone_xml_is (node, "arg"))
        continue;
      char *value = cs_clone_xml_attribute (node, "value");
      g_ptr_array_add (arguments, value != NULL ? value : g_strdup (""));
      cs_clone_xml_remove (node);
    }
  g_ptr_array_add (arguments, NULL);
  CsCloneArgvContext where = { .directory = "/" };
  g_auto (GStrv) rewritten =
      cs_clone_argv_rewrite (context->vm, (const char *const *)arguments->pdata, &where, error);
  if (rewritten == NULL)
    return false;
  for (char **at = rewritten + 1; *at != NULL; at++)
    {
      xmlNode *argument = xmlNewChild (commandline, commandline->ns, XML ("arg"), NULL);
      xmlNewProp (argument, XML ("value"), XML (*at));
    }
  return true;
}

/* ---- the domain ---- */

/* A serial number that repeats the UUID must go with it: libvirt compares them. */
static void
rewrite_sysinfo (const CsCloneXml *context, xmlNode *sysinfo)
{
  xmlNode *system = cs_clone_xml_child (sysinfo, "system");
  for (xmlNode *node = system != NULL ? system->children : NULL; node != NULL; node = node->next)
    {
      g_autofree char *name =
          cs_clone_xml_is (node, "entry") ? cs_clone_xml_attribute (node, "name") : NULL;
      if (g_strcmp0 (name, "uuid") == 0)
        cs_clone_xml_set_text (node, cs_clone_plan_vm_uuid (context->vm));
    }
}

static bool
rewrite_element (CsCloneXml *context, xmlNode *node, const char *domain, GError **error)
{
  static const char *const harmless[] = { "title",
                                          "description",
                                          "metadata",
                                          "memory",
                                          "currentMemory",
                                          "maxMemory",
                                          "memtune",
                                          "numatune",
                                          "memoryBacking",
                                          "vcpu",
                                          "vcpus",
                                          "cputune",
                                          "iothreads",
                                          "iothreadids",
                                          "defaultiothread",
                                          "blkiotune",
                                          "resource",
                                          "features",
                                          "cpu",
                                          "clock",
                                          "on_poweroff",
                                          "on_reboot",
                                          "on_crash",
                                          "on_lockfailure",
                                          "pm",
                                          "perf",
                                          "bootloader",
                                          "override",
                                          "deprecation",
                                          "throttlegroups",
                                          "capabilities",
                                          NULL };
  if (cs_clone_xml_is (node, "name"))
    cs_clone_xml_set_text (node, domain);
  else if (cs_clone_xml_is (node, "uuid"))
    cs_clone_xml_set_text (node, cs_clone_plan_vm_uuid (context->vm));
  else if (cs_clone_xml_is (node, "genid"))
    {
      g_autofree char *generation = g_uuid_string_random ();
      cs_clone_xml_set_text (node, generation);
    }
  else if (cs_clone_xml_is (node, "sysinfo"))
    rewrite_sysinfo (context, node);
  else if (cs_clone_xml_is (node, "os"))
    return rewrite_firmware (context, node, error);
  else if (cs_clone_xml_is (node, "devices"))
    return cs_clone_xml_devices (context, node, error);
  else if (cs_clone_xml_is (node, "commandline"))
    return rewrite_commandline (context, node, error);
  else if (cs_clone_xml_is (node, "seclabel"))
    {
      g_autofree char *type = cs_clone_xml_attribute (node, "type");
      if (g_strcmp0 (type, "static") != 0)
        {
          cs_clone_xml_remove (cs_clone_xml_child (node, "label"));
          cs_clone_xml_remove (cs_clone_xml_child (node, "imagelabel"));
        }
    }
  else if (!g_strv_contains (harmless, (const char *)node->name))
    return cs_clone_xml_refuse (context, node, error,
                                "clusnap does not know what it would mean for a second VM");
  return true;
}

char *
cs_clone_xml_rewrite (CsClonePlanVm *vm, const char *xml, const char *domain, GError **error)
{
  g_autoptr (xmlDoc) document = cs_source_xml_parse (xml, error);
  if (document == NULL)
    return NULL;
  CsCloneXml context = { vm };
  xmlNode *root = xmlDocGetRootElement (document);
  cs_clone_xml_unset (root, "id");
  for (xmlNode *node = root->children, *next; node != NULL; node = next)
    {
      next = node->next;
      if (node->type == XML_ELEMENT_NODE && !rewrite_element (&context, node, domain, error))
        return NULL;
    }
  return cs_source_xml_format (document);
}

/* STORE: what was captured goes to the image writer; the VM's document for the manifest. */
#include "config.h"

#include "common/error.h"
#include "common/fault.h"
#include "vmm/capture-private.h"

#include <string.h>

typedef struct
{
  CsCapture *capture;
  CsDisk *disk;
  guint volume;
} ExtentSink;

static bool
put_extent (guint64 offset, guint64 length, const void *data, void *user_data, GError **error)
{
  ExtentSink *sink = user_data;
  CsCapture *capture = sink->capture;
  guint64 count = (length + CS_PAGE_SIZE - 1) / CS_PAGE_SIZE;
  if (!cs_capture_check_cancelled (capture, error))
    return false;
  if (data == NULL)
    {
      sink->disk->bytes_zero += length;
      return cs_image_writer_put_zero (capture->writer, sink->volume, offset / CS_PAGE_SIZE, count,
                                       error);
    }
  sink->disk->bytes_read += length;
  capture->stats.disk_bytes += length;
  return cs_image_writer_put (capture->writer, sink->volume, offset / CS_PAGE_SIZE, count, data,
                              error);
}

static bool
store_disks (CsCapture *capture, GError **error)
{
  const CsVmBase *base = capture->incremental ? capture->vm->base : NULL;
  bool inherit = base != NULL && cs_vm_base_has_disks (base, capture->disks);
  for (guint i = 0; i < capture->disks->len; i++)
    {
      CsDisk *disk = g_ptr_array_index (capture->disks, i);
      ExtentSink sink = { .capture = capture, .disk = disk };
      disk->captured = true;
      if (!cs_image_writer_add_volume (capture->writer, CS_VOLUME_DISK, disk->name, disk->size,
                                       inherit, &sink.volume, error)
          || !cs_disk_capture_read (capture->disk_capture, i, put_extent, &sink, error))
        {
          g_prefix_error (error, "disk '%s': ", disk->name);
          return false;
        }
    }
  return true;
}

static bool
store_devices (CsCapture *capture, GError **error)
{
  guint volume;
  g_autoptr (GBytes) bytes = cs_device_state_bytes (capture->devices, error);
  if (bytes == NULL)
    return false;
  gsize length;
  const void *data = g_bytes_get_data (bytes, &length);
  capture->stats.device_bytes = length;
  return cs_image_writer_add_volume (capture->writer, CS_VOLUME_DEVICE_STATE, "devices", length,
                                     false, &volume, error)
         && cs_image_writer_put_bytes (capture->writer, volume, data, length, error);
}

bool
cs_capture_store (CsCapture *capture, CsProgressFunc progress, void *data, GError **error)
{
  capture->stats.pages = cs_pages_taken (capture->pages);
  /* The disks first: their copy-before-write jobs slow the guest's writes down until they end. */
  if (!store_disks (capture, error) || !cs_fault_point ("store", error)
      || !cs_capture_check_cancelled (capture, error) || !cs_pages_store (capture->pages, error)
      || !store_devices (capture, error))
    return false;
  if (progress != NULL && !progress (capture->stats.pages, capture->stats.pages, data))
    return cs_capture_check_cancelled (capture, error);
  if (!cs_agent_end (capture->agent, error))
    return false;
  capture->image = cs_image_writer_finish (capture->writer, &capture->stats.image, error);
  return capture->image != NULL;
}

static json_object *
blocks_document (GPtrArray *blocks)
{
  json_object *array = json_object_new_array ();
  for (guint i = 0; i < blocks->len; i++)
    {
      const CsRamBlock *block = g_ptr_array_index (blocks, i);
      json_object *object = json_object_new_object ();
      json_object_object_add (object, "name", json_object_new_string (block->name));
      json_object_object_add (object, "length", json_object_new_uint64 (block->used_length));
      json_object_object_add (object, "page-size", json_object_new_uint64 (block->page_size));
      json_object_array_add (array, object);
    }
  return array;
}

json_object *
cs_capture_document (const CsCapture *capture)
{
  json_object *vm = json_object_new_object ();
  json_object *disks = json_object_new_array ();
  for (guint i = 0; i < capture->disks->len; i++)
    json_object_array_add (disks, cs_disk_to_json (g_ptr_array_index (capture->disks, i)));
  json_object_object_add (vm, "name", json_object_new_string (capture->vm->ref->name));
  json_object_object_add (vm, "image", json_object_new_string (capture->image));
  json_object_object_add (vm, "incremental", json_object_new_boolean (capture->incremental));
  json_object_object_add (vm, "source", json_object_get (capture->source));
  json_object_object_foreach (capture->summary, key, value)
  {
    if (strcmp (key, "qemu-version") == 0 || strcmp (key, "machine") == 0)
      json_object_object_add (vm, key, json_object_get (value));
  }
  json_object_object_add (vm, "ram-blocks", blocks_document (capture->blocks));
  json_object_object_add (vm, "disks", disks);
  return vm;
}

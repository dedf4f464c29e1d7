#include "config.h"

#include "guest-agent/probe/serial.h"

uint32_t
serial_crc32 (const void *data, size_t length)
{
  const unsigned char *bytes = data;
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < length; i++)
    {
      crc ^= bytes[i];
      for (unsigned bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
  return ~crc;
}

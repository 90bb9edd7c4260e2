//===- Hdf5Image.cpp - libhdf5 on bytes in memory -------------------------===//

#include "compiler/import/archive/Hdf5Image.h"

#include "llvm/ADT/STLExtras.h"

#include <hdf5.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

using namespace gru;
using namespace llvm;

namespace {
/// What libhdf5 keeps of an open file. The library copies `bytes` with the
/// properties that carry it here.
struct Image {
  H5FD_t base{};
  StringRef bytes;
  haddr_t endOfAddresses = 0;

  static Image &of(H5FD_t *file) { return *reinterpret_cast<Image *>(file); }
  static const Image &of(const H5FD_t *file) {
    return *reinterpret_cast<const Image *>(file);
  }
};
} // namespace

static H5FD_t *open(const char *, unsigned flags, hid_t access, haddr_t) {
  auto *bytes = static_cast<const StringRef *>(H5Pget_driver_info(access));
  if (!bytes || (flags & H5F_ACC_RDWR))
    return nullptr;
  auto *image = new Image;
  image->bytes = *bytes;
  return &image->base;
}

static herr_t close(H5FD_t *file) {
  delete &Image::of(file);
  return 0;
}

/// None of what the library may add to a driver is wanted.
static herr_t query(const H5FD_t *, unsigned long *flags) {
  *flags = 0;
  return 0;
}

static haddr_t getEndOfAddresses(const H5FD_t *file, H5FD_mem_t) {
  return Image::of(file).endOfAddresses;
}

static herr_t setEndOfAddresses(H5FD_t *file, H5FD_mem_t, haddr_t end) {
  Image::of(file).endOfAddresses = end;
  return 0;
}

static haddr_t getEndOfFile(const H5FD_t *file, H5FD_mem_t) {
  return Image::of(file).bytes.size();
}

/// The library asks for what is behind the end only where a file is damaged,
/// and has taken memory for it then. Its own drivers would fill that with
/// zeros.
static herr_t read(H5FD_t *file, H5FD_mem_t, hid_t, haddr_t address,
                   size_t size, void *buffer) {
  StringRef bytes = Image::of(file).bytes;
  if (address > bytes.size() || size > bytes.size() - address)
    return -1;
  llvm::copy(bytes.substr(address, size), static_cast<char *>(buffer));
  return 0;
}

static herr_t write(H5FD_t *, H5FD_mem_t, hid_t, haddr_t, size_t,
                    const void *) {
  return -1;
}

static hid_t getDriver() {
  static H5FD_class_t driver{};
#if H5_VERSION_GE(1, 13, 0)
  driver.version = H5FD_CLASS_VERSION;
  // Of those that are left to applications.
  driver.value = H5FD_class_value_t(600);
#endif
  driver.name = "gru-image";
  driver.maxaddr = ~haddr_t(0) >> 1;
  driver.fc_degree = H5F_CLOSE_WEAK;
  driver.fapl_size = sizeof(StringRef);
  driver.open = open;
  driver.close = close;
  driver.query = query;
  driver.get_eoa = getEndOfAddresses;
  driver.set_eoa = setEndOfAddresses;
  driver.get_eof = getEndOfFile;
  driver.read = read;
  driver.write = write;
  llvm::fill(driver.fl_map, H5FD_MEM_DEFAULT);
  static hid_t id = H5FDregister(&driver);
  return id;
}

bool gru::setHdf5Image(int64_t access, StringRef bytes) {
  hid_t driver = getDriver();
  return driver >= 0 && H5Pset_driver(access, driver, &bytes) >= 0;
}

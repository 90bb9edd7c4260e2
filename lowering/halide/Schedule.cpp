//===- Schedule.cpp - how Halide runs a step or a product -----------------===//

#include "lowering/halide/Schedule.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace gru;
using llvm::createStringError;
using llvm::formatv;
using llvm::StringRef;

HalideSchedule gru::chooseHalideSchedule(const HalideShape &shape,
                                         const TargetDescription &target) {
  HalideSchedule schedule;
  schedule.lanes = std::min(shape.width, target.getLanes(shape.elementBytes));
  while (shape.width % schedule.lanes != 0)
    schedule.lanes /= 2;
  // A quarter of the registers stays for weights, broadcasts and constants.
  int64_t sums = target.registers * 3 / 4;
  // The widest part of the packed block whose gates fit for one row.
  int64_t vectors = shape.width / schedule.lanes;
  while (!shape.wholeBlocks && vectors > 1 && vectors * shape.gates > sums)
    vectors = vectors % 2 == 0 ? vectors / 2 : 1;
  schedule.units = vectors * schedule.lanes;
  int64_t most = std::clamp<int64_t>(sums / (vectors * shape.gates), 1, 8);
  if (shape.rows < 0)
    schedule.rows = most;
  else
    schedule.rows =
        llvm::divideCeil(shape.rows, llvm::divideCeil(shape.rows, most));
  schedule.tile = schedule.rows;
  if ((shape.gates + shape.waits) * vectors * schedule.rows >
      target.registers - 2) {
    int64_t largest = target.registers >= 32 ? 4 : 2;
    do
      --schedule.tile;
    while (schedule.tile > 1 && (schedule.rows % schedule.tile != 0 ||
                                 schedule.tile * vectors > largest));
  }
  schedule.tile = std::max<int64_t>(schedule.tile, 1);
  return schedule;
}

HalideSchedule gru::chooseHalideDeviceSchedule(const HalideShape &shape) {
  HalideSchedule schedule;
  schedule.units = shape.width;
  schedule.rows = shape.rows < 0 ? 8 : std::min<int64_t>(shape.rows, 8);
  schedule.tile = schedule.rows;
  return schedule;
}

std::string HalideSchedule::str() const {
  return formatv("lanes={0} units={1} rows={2} tile={3} unroll={4} outer={5}",
                 lanes, units, rows, tile, unroll,
                 unitsOuter ? "units" : "rows");
}

llvm::Error HalideSchedule::parse(StringRef text, const HalideShape &shape) {
  // A line that changes rows and says nothing of tiles means one tile.
  bool whole = tile == rows, tiled = false;
  llvm::SmallVector<StringRef> items;
  text.split(items, ' ', -1, /*KeepEmpty=*/false);
  for (StringRef item : items) {
    auto [key, value] = item.split('=');
    if (key == "outer") {
      if (value != "units" && value != "rows")
        return createStringError(
            formatv("outer is '{0}', expected units or rows", value));
      unitsOuter = value == "units";
      continue;
    }
    int64_t *field = key == "lanes"    ? &lanes
                     : key == "units"  ? &units
                     : key == "rows"   ? &rows
                     : key == "tile"   ? &tile
                     : key == "unroll" ? &unroll
                                       : nullptr;
    if (!field)
      return createStringError(formatv(
          "'{0}', expected lanes=, units=, rows=, tile=, unroll= or outer=",
          item));
    tiled |= field == &tile;
    // Beyond this the code of one register block would take minutes to compile.
    if (value.getAsInteger(10, *field) || *field < 1 || *field > 64)
      return createStringError(
          formatv("{0} is '{1}', expected a number from 1 to 64", key, value));
  }
  if (!tiled && (whole || rows % tile != 0))
    tile = rows;
  if (units % lanes != 0)
    return createStringError(formatv(
        "units is {0}, expected a multiple of lanes = {1}", units, lanes));
  if (shape.width % units != 0)
    return createStringError(
        formatv("units is {0}, expected a divisor of the packed width {1}",
                units, shape.width));
  if (shape.wholeBlocks && units != shape.width)
    return createStringError(
        formatv("units is {0}, expected {1}: the state is updated in place",
                units, shape.width));
  if (shape.rows >= 0 && rows > shape.rows)
    return createStringError(formatv(
        "rows is {0}, expected at most the {1} there are", rows, shape.rows));
  if (rows % tile != 0)
    return createStringError(
        formatv("tile is {0}, expected a divisor of rows = {1}", tile, rows));
  return llvm::Error::success();
}

llvm::Expected<HalideScheduleFile> HalideScheduleFile::parse(StringRef text) {
  HalideScheduleFile file;
  llvm::SmallVector<StringRef> all;
  text.split(all, '\n');
  for (size_t i = 0; i < all.size(); ++i) {
    StringRef line = all[i].split('#').first.trim();
    if (line.empty())
      continue;
    auto [function, rest] = line.split(' ');
    if (!file.lines.try_emplace(function, Line{rest.trim().str(), i + 1})
             .second)
      return createStringError(
          formatv("halide-schedule: line {0}: '{1}' has a line already", i + 1,
                  function));
  }
  return file;
}

llvm::Error HalideScheduleFile::apply(StringRef function,
                                      const HalideShape &shape,
                                      HalideSchedule &schedule) {
  asked += (asked.empty() ? "" : ", ") + function.str();
  auto found = lines.find(function);
  if (found == lines.end())
    return llvm::Error::success();
  Line &line = found->second;
  line.used = true;
  if (llvm::Error error = schedule.parse(line.text, shape))
    return createStringError(formatv("halide-schedule: line {0}: {1}: {2}",
                                     line.number, function,
                                     llvm::toString(std::move(error))));
  return llvm::Error::success();
}

llvm::Error HalideScheduleFile::finish() const {
  for (auto &entry : lines)
    if (!entry.second.used)
      return createStringError(formatv(
          "halide-schedule: line {0}: there is no function '{1}'; there {2} {3}",
          entry.second.number, entry.first(), asked.empty() ? "is" : "are",
          asked.empty() ? "none" : asked));
  return llvm::Error::success();
}

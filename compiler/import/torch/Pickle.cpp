//===- Pickle.cpp - the part of Python's pickles that state dicts use -----===//

#include "compiler/import/torch/Pickle.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"

#include <optional>
#include <unordered_map>

using namespace gru;
using namespace gru::torch;
using namespace llvm;

using support::endian::read16le;
using support::endian::read32le;
using support::endian::read64le;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

const PickleValue *PickleValue::lookup(StringRef key) const {
  if (kind != dict)
    return nullptr;
  // A later entry replaces an earlier one of the same key.
  for (size_t i = items.size(); i >= 2; i -= 2)
    if (items[i - 2]->kind == string && items[i - 2]->text == key)
      return items[i - 1].get();
  return nullptr;
}

// Without its items a value frees nothing but itself, so neither circles nor
// deep nesting matter.
Pickle::~Pickle() {
  for (const PickleRef &value : values)
    value->items.clear();
}

/// The names that a state dict may use. All else is refused, because it would
/// ask for code.
static bool isKnownGlobal(StringRef name) {
  if (name.consume_front("torch.")) {
    StringRef storage = name;
    if (storage.consume_back("Storage"))
      return is_contained({"Float", "Double", "Half", "BFloat16", "Long", "Int",
                           "Short", "Char", "Byte", "Bool"},
                          storage);
    return name == "_utils._rebuild_tensor_v2" ||
           name == "_utils._rebuild_parameter" || name == "Size";
  }
  return name == "collections.OrderedDict";
}

//===----------------------------------------------------------------------===//
// The machine
//===----------------------------------------------------------------------===//

namespace gru::torch {
class PickleMachine {
public:
  PickleMachine(StringRef where, StringRef bytes)
      : where(where), begin(bytes), rest(bytes) {}

  Expected<Pickle> run();

private:
  enum Opcode : unsigned char {
    MARK = '(',
    STOP = '.',
    POP = '0',
    BINFLOAT = 'G',
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    NONE = 'N',
    BINPERSID = 'Q',
    REDUCE = 'R',
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINUNICODE = 'X',
    APPEND = 'a',
    BUILD = 'b',
    GLOBAL = 'c',
    APPENDS = 'e',
    BINGET = 'h',
    LONG_BINGET = 'j',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    SETITEM = 's',
    TUPLE = 't',
    SETITEMS = 'u',
    EMPTY_DICT = '}',
    EMPTY_LIST = ']',
    EMPTY_TUPLE = ')',
    PROTO = 0x80,
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    LONG1 = 0x8a,
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    STACK_GLOBAL = 0x93,
    MEMOIZE = 0x94,
    FRAME = 0x95,
  };

  Error fail(const Twine &message) const {
    return importError(where, "damaged pickle at byte " +
                                  Twine(begin.size() - rest.size()) + ": " +
                                  message);
  }

  //===--- Input ----------------------------------------------------------===//

  Expected<StringRef> take(uint64_t size) {
    if (size > rest.size())
      return fail("ends after " + Twine(rest.size()) + " of " + Twine(size) +
                  " bytes");
    StringRef taken = rest.take_front(size);
    rest = rest.drop_front(size);
    return taken;
  }

  Expected<uint64_t> takeNumber(unsigned size) {
    Expected<StringRef> bytes = take(size);
    if (!bytes)
      return bytes.takeError();
    uint64_t number = 0;
    for (unsigned i = 0; i < size; ++i)
      number |= uint64_t(static_cast<unsigned char>((*bytes)[i])) << (8 * i);
    return number;
  }

  /// Up to the next newline, which is taken as well.
  Expected<StringRef> takeLine() {
    size_t end = rest.find('\n');
    if (end == StringRef::npos)
      return fail("a name has no end");
    StringRef line = rest.take_front(end);
    rest = rest.drop_front(end + 1);
    return line;
  }

  //===--- Stack ----------------------------------------------------------===//

  PickleValue &push(PickleValue::Kind kind) {
    result.values.push_back(std::make_shared<PickleValue>());
    result.values.back()->kind = kind;
    stack.push_back(result.values.back());
    return *stack.back();
  }

  void pushString(StringRef text) {
    push(PickleValue::string).text = text.str();
  }

  /// The bottom of what may be popped: the topmost mark.
  size_t getFloor() const { return marks.empty() ? 0 : marks.back(); }

  Expected<PickleRef> pop() {
    if (stack.size() <= getFloor())
      return fail("takes from an empty stack");
    PickleRef value = std::move(stack.back());
    stack.pop_back();
    return value;
  }

  /// What stands on top of the topmost mark, which goes too.
  Expected<std::vector<PickleRef>> popMark() {
    if (marks.empty())
      return fail("has no mark to go back to");
    std::vector<PickleRef> values(stack.begin() + marks.back(), stack.end());
    stack.resize(marks.back());
    marks.pop_back();
    return values;
  }

  Error pushTuple(unsigned size) {
    if (stack.size() < getFloor() + size)
      return fail("takes from an empty stack");
    std::vector<PickleRef> items(stack.end() - size, stack.end());
    stack.resize(stack.size() - size);
    push(PickleValue::tuple).items = std::move(items);
    return Error::success();
  }

  /// Appends to the container on top of the stack.
  Error extend(PickleValue::Kind kind, ArrayRef<PickleRef> items) {
    if (stack.size() <= getFloor() || stack.back()->kind != kind)
      return fail("fills a container that is not there");
    if (kind == PickleValue::dict && items.size() % 2)
      return fail("has a key without a value");
    llvm::append_range(stack.back()->items, items);
    return Error::success();
  }

  //===--- Opcodes --------------------------------------------------------===//

  Error pushGlobal(StringRef module, StringRef name);
  Error reduce();
  Error get(uint64_t index);
  Error put(uint64_t index);
  Error execute(unsigned char opcode);
  Error text(unsigned sizeBytes);
  Error integer(unsigned size, bool isSigned);

  std::string where;
  StringRef begin, rest;
  Pickle result;
  std::vector<PickleRef> stack;
  std::vector<size_t> marks;
  std::unordered_map<uint64_t, PickleRef> memo;
};
} // namespace gru::torch

Error PickleMachine::pushGlobal(StringRef module, StringRef name) {
  std::string full = (module + "." + name).str();
  if (!isKnownGlobal(full)) {
    bool isScript = StringRef(full).starts_with("__torch__");
    return importError(where,
                       "the pickle asks for '" + printable(full) +
                           "', which would run code, expected only tensors" +
                           (isScript ? Twine("; this is a TorchScript module: ")
                                     : Twine("; ")) +
                           "save module.state_dict() instead");
  }
  push(PickleValue::global).text = std::move(full);
  return Error::success();
}

/// The calls that a state dict makes: an empty OrderedDict, a tensor out of a
/// storage, a parameter out of a tensor, a size out of a tuple.
Error PickleMachine::reduce() {
  Expected<PickleRef> arguments = pop();
  if (!arguments)
    return arguments.takeError();
  Expected<PickleRef> callee = pop();
  if (!callee)
    return callee.takeError();
  const std::vector<PickleRef> &items = (*arguments)->items;
  if ((*arguments)->kind != PickleValue::tuple)
    return fail("calls something without a tuple of arguments");
  if ((*callee)->isGlobal("collections.OrderedDict")) {
    if (!items.empty())
      return fail("fills an OrderedDict in an unknown way");
    push(PickleValue::dict);
    return Error::success();
  }
  if ((*callee)->isGlobal("torch._utils._rebuild_tensor_v2")) {
    if (items.size() < 4 || items[0]->kind != PickleValue::storage)
      return fail("makes a tensor out of something else than a storage");
    push(PickleValue::tensor).items = items;
    return Error::success();
  }
  if ((*callee)->isGlobal("torch._utils._rebuild_parameter")) {
    if (items.empty() || items[0]->kind != PickleValue::tensor)
      return fail("makes a parameter out of something else than a tensor");
    stack.push_back(items[0]);
    return Error::success();
  }
  if ((*callee)->isGlobal("torch.Size") && items.size() == 1) {
    stack.push_back(items[0]);
    return Error::success();
  }
  return fail("calls something that is no function");
}

Error PickleMachine::get(uint64_t index) {
  auto found = memo.find(index);
  if (found == memo.end())
    return fail("reads entry " + Twine(index) + " of its memo, which is empty");
  stack.push_back(found->second);
  return Error::success();
}

Error PickleMachine::put(uint64_t index) {
  if (stack.size() <= getFloor())
    return fail("remembers the top of an empty stack");
  memo[index] = stack.back();
  return Error::success();
}

Error PickleMachine::text(unsigned sizeBytes) {
  Expected<uint64_t> size = takeNumber(sizeBytes);
  if (!size)
    return size.takeError();
  Expected<StringRef> bytes = take(*size);
  if (!bytes)
    return bytes.takeError();
  pushString(*bytes);
  return Error::success();
}

Error PickleMachine::integer(unsigned size, bool isSigned) {
  Expected<uint64_t> number = takeNumber(size);
  if (!number)
    return number.takeError();
  int64_t value = int64_t(*number);
  if (isSigned && size && size < 8)
    value = SignExtend64(*number, 8 * size);
  push(PickleValue::integer).number = value;
  return Error::success();
}

Error PickleMachine::execute(unsigned char opcode) {
  // Takes an operand of the opcode, or leaves with its error.
#define TAKE(variable, expression)                                             \
  auto variable = (expression);                                                \
  if (!variable)                                                               \
  return variable.takeError()

  switch (opcode) {
  case FRAME: {
    TAKE(ignored, takeNumber(8));
    return Error::success();
  }
  case MARK:
    marks.push_back(stack.size());
    return Error::success();
  case POP: {
    TAKE(ignored, pop());
    return Error::success();
  }
  case NONE:
    push(PickleValue::none);
    return Error::success();
  case NEWTRUE:
  case NEWFALSE:
    push(PickleValue::boolean).number = opcode == NEWTRUE;
    return Error::success();
  case BININT:
    return integer(4, /*isSigned=*/true);
  case BININT1:
    return integer(1, /*isSigned=*/false);
  case BININT2:
    return integer(2, /*isSigned=*/false);
  case LONG1: {
    TAKE(size, takeNumber(1));
    if (*size > 8)
      return fail("has an integer of " + Twine(*size) +
                  " bytes, expected at most 8");
    return integer(*size, /*isSigned=*/true);
  }
  case BINFLOAT: {
    // Learning rates and the like; nothing here reads its value.
    TAKE(ignored, take(8));
    push(PickleValue::real);
    return Error::success();
  }
  case SHORT_BINSTRING:
  case SHORT_BINUNICODE:
    return text(1);
  case BINSTRING:
  case BINUNICODE:
    return text(4);
  case BINUNICODE8:
    return text(8);
  case EMPTY_DICT:
    push(PickleValue::dict);
    return Error::success();
  case EMPTY_LIST:
    push(PickleValue::list);
    return Error::success();
  case EMPTY_TUPLE:
    return pushTuple(0);
  case TUPLE1:
    return pushTuple(1);
  case TUPLE2:
    return pushTuple(2);
  case TUPLE3:
    return pushTuple(3);
  case TUPLE: {
    TAKE(items, popMark());
    push(PickleValue::tuple).items = std::move(*items);
    return Error::success();
  }
  case APPEND: {
    TAKE(item, pop());
    return extend(PickleValue::list, *item);
  }
  case APPENDS: {
    TAKE(items, popMark());
    return extend(PickleValue::list, *items);
  }
  case SETITEM: {
    TAKE(value, pop());
    TAKE(key, pop());
    return extend(PickleValue::dict, {*key, *value});
  }
  case SETITEMS: {
    TAKE(items, popMark());
    return extend(PickleValue::dict, *items);
  }
  case BUILD: {
    // Attributes of a state dict (_metadata); it has no meaning for weights.
    TAKE(state, pop());
    if (stack.size() <= getFloor() || stack.back()->kind != PickleValue::dict)
      return fail("sets attributes of something else than a dictionary");
    return Error::success();
  }
  case GLOBAL: {
    TAKE(module, takeLine());
    TAKE(name, takeLine());
    return pushGlobal(*module, *name);
  }
  case STACK_GLOBAL: {
    TAKE(name, pop());
    TAKE(module, pop());
    if ((*name)->kind != PickleValue::string ||
        (*module)->kind != PickleValue::string)
      return fail("a name is no string");
    return pushGlobal((*module)->text, (*name)->text);
  }
  case REDUCE:
    return reduce();
  case BINPERSID: {
    TAKE(id, pop());
    if ((*id)->kind != PickleValue::tuple)
      return fail("refers to a storage by something else than a tuple");
    push(PickleValue::storage).items = {*id};
    return Error::success();
  }
  case BINPUT: {
    TAKE(index, takeNumber(1));
    return put(*index);
  }
  case LONG_BINPUT: {
    TAKE(index, takeNumber(4));
    return put(*index);
  }
  case MEMOIZE:
    return put(memo.size());
  case BINGET: {
    TAKE(index, takeNumber(1));
    return get(*index);
  }
  case LONG_BINGET: {
    TAKE(index, takeNumber(4));
    return get(*index);
  }
  default:
    return fail("opcode 0x" + utohexstr(opcode) +
                ", which a state dict does not use");
  }
#undef TAKE
}

Expected<Pickle> PickleMachine::run() {
  Expected<StringRef> start = take(2);
  if (!start)
    return start.takeError();
  if (static_cast<unsigned char>((*start)[0]) != PROTO || (*start)[1] < 2 ||
      (*start)[1] > 5)
    return importError(where, "found no pickle of protocol 2 to 5");
  while (true) {
    Expected<StringRef> opcode = take(1);
    if (!opcode)
      return opcode.takeError();
    if ((*opcode)[0] == STOP)
      break;
    if (Error error = execute((*opcode)[0]))
      return error;
  }
  Expected<PickleRef> root = pop();
  if (!root)
    return root.takeError();
  result.root = std::move(*root);
  return std::move(result);
}

Expected<Pickle> Pickle::parse(StringRef where, StringRef bytes) {
  return PickleMachine(where, bytes).run();
}

#include "cuda_emulator/kernel/symbols.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <link.h>
#include <map>

namespace ep::emulator {
namespace {

struct Program {
  char* thread_local_data = nullptr;  // of the calling thread
  std::uintptr_t base = 0;
};

struct Symbol {
  std::string name;
  std::uintptr_t value = 0;
  std::size_t bytes = 0;
  unsigned type = 0;
};

Program this_program() {
  Program program;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        *static_cast<Program*>(data) = {static_cast<char*>(info->dlpi_tls_data), info->dlpi_addr};
        return 1;  // the first is the program itself
      },
      &program);
  return program;
}

std::vector<Symbol> read_symbols() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
  const auto read = [&image]<class T>(std::size_t offset, T& into) {
    std::memcpy(&into, image.data() + offset, sizeof(T));
  };
  std::vector<Symbol> symbols;
  Elf64_Ehdr header;
  read(0, header);
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    read(header.e_shoff + i * sizeof(section), section);
    if (section.sh_type != SHT_SYMTAB) continue;
    Elf64_Shdr strings;
    read(header.e_shoff + section.sh_link * sizeof(strings), strings);
    for (std::size_t k = 0; k < section.sh_size / sizeof(Elf64_Sym); ++k) {
      Elf64_Sym symbol;
      read(section.sh_offset + k * sizeof(symbol), symbol);
      symbols.push_back({image.data() + strings.sh_offset + symbol.st_name, symbol.st_value, symbol.st_size,
                         ELF64_ST_TYPE(symbol.st_info)});
    }
  }
  return symbols;
}

std::string demangle(const std::string& mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string result = text != nullptr ? text : mangled;
  std::free(text);
  for (const std::string_view noise : {"(anonymous namespace)::", "void "}) {
    for (std::size_t at = 0; (at = result.find(noise)) != std::string::npos;) result.erase(at, noise.size());
  }
  return result;
}

std::map<std::uintptr_t, std::string> read_functions() {
  std::map<std::uintptr_t, std::string> functions;
  const std::uintptr_t base = this_program().base;
  for (const Symbol& symbol : read_symbols()) {
    if (symbol.type == STT_FUNC && symbol.value != 0) functions[base + symbol.value] = symbol.name;
  }
  return functions;
}

std::vector<SharedVariable> read_shared_variables() {
  std::vector<SharedVariable> variables;
  char* base = this_program().thread_local_data;
  for (const Symbol& symbol : read_symbols()) {
    const bool inside_function = symbol.name.rfind("_ZZ", 0) == 0;
    if (symbol.type != STT_TLS || symbol.bytes == 0 || !inside_function) continue;
    variables.push_back({base + symbol.value, symbol.bytes, demangle(symbol.name)});
  }
  return variables;
}

}  // namespace

const std::vector<SharedVariable>& shared_variables() {
  static const auto& variables = *new std::vector<SharedVariable>(read_shared_variables());
  return variables;
}

std::string kernel_name(const void* function) {
  static const auto& functions = *new std::map<std::uintptr_t, std::string>(read_functions());
  const auto found = functions.find(reinterpret_cast<std::uintptr_t>(function));
  if (found == functions.end()) return "?";
  const std::string name = demangle(found->second);
  // Up to the parameters; a parenthesis may also stand in a template argument.
  int depth = 0;
  const auto parameters = std::find_if(name.begin(), name.end(), [&depth](char c) {
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    return c == '(' && depth == 0;
  });
  return {name.begin(), parameters};
}

}  // namespace ep::emulator

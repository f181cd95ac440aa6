#ifndef STROBE_TESTS_DISASSEMBLE_H
#define STROBE_TESTS_DISASSEMBLE_H

#include <string>

namespace strobe::test {

/** The machine instructions of a cubin as text, by the nvdisasm that the build found; empty if it found none. */
std::string disassemble(const std::string &cubin);

}  // namespace strobe::test

#endif

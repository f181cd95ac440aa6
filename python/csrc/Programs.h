#ifndef STROBE_PYTHON_PROGRAMS_H
#define STROBE_PYTHON_PROGRAMS_H

/** \file
 * Compiled programs of this process, by their complete text. */

#include "execute/CpuProgram.h"
#include "execute/CudaProgram.h"

namespace strobe {

/** Compiles at the first call with a text; other threads that ask for the same wait for it.
 * A failure is not kept: the next call tries again. */
std::shared_ptr<const CpuProgram> cpu_program(const std::string &text);

/** The same for the device's architecture, with the cache on disk. */
std::shared_ptr<CudaProgram> cuda_program(const std::string &text, int device);

/** The same by architecture, such as sm_90a: nothing is run, and no GPU is needed. */
std::shared_ptr<CudaProgram> cuda_program_for(const std::string &text, const std::string &architecture);

/** Threads that torch starts may have no CUDA context yet. */
void make_context_current(int device);

}  // namespace strobe

#endif

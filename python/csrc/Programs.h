#ifndef STROBE_PYTHON_PROGRAMS_H
#define STROBE_PYTHON_PROGRAMS_H

/** \file
 * The programs of this process. They are never destroyed: at exit the CUDA driver and Halide's runtime may be gone before
 * static objects are. All functions may be called from several threads at once. */

#include "execute/CpuProgram.h"
#include "execute/CudaProgram.h"
#include "execute/GeneratorAlgorithm.h"
#include "text/SizeMatcher.h"

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

namespace strobe {

/** One algorithm, compiled for a device at its first call there. Other threads that
 * ask for the same wait. A failure is not kept: the next call tries again. */
class Program {
    const std::string key;
    const std::function<TextAlgorithm()> read;
    const TextAlgorithm the_algorithm;
    const SizeMatcher matcher;
    std::mutex mutex;  // held to compile for the host
    std::shared_ptr<const CpuProgram> host_code;
    std::atomic<const CpuProgram *> host{nullptr};
    static constexpr int max_devices = 64;
    std::array<std::atomic<CudaProgram *>, max_devices> devices{};

    TextAlgorithm read_in_turn() const;

public:
    /** \p read is called for every compilation, where compilers take turns; \p key describes what it gives completely.
     * Throws what it throws. */
    Program(std::string key, std::function<TextAlgorithm()> read);

    const TextAlgorithm &algorithm() const {
        return the_algorithm;
    }
    const SizeMatcher &sizes() const {
        return matcher;
    }
    const CpuProgram &on_host();
    CudaProgram &on_device(int device);
    /** For an architecture, such as sm_90a: nothing is run, and no GPU is needed. */
    CudaProgram &for_architecture(const std::string &architecture);
    /** Puts its kernels for an architecture into a folder, for an installation of this very build. */
    void install_into(const std::string &folder, const std::string &architecture);
};

/** Where the kernels are that were installed with the library: STROBE_KERNELS, else kernels beside the library. */
std::string installed_kernels_folder();

/** By the complete text. Throws UserError for what is no algorithm text. */
Program &program_of(const std::string &text);
/** Of a Generator that is linked in. */
Program &program_of(const GeneratorUse &use);

/** A family is an ordered set of programs, of which a call takes the first that its arguments fit. */
int64_t new_family();
void add_to_family(int64_t family, const std::string &text);
void add_to_family(int64_t family, Program &program);

/** The first program of the family for which `fits` gives true, else null; one that does not exist has none. */
Program *find_in_family(int64_t family, const std::function<bool(Program &)> &fits);

/** The calling thread's CUDA context is one of this device. */
bool is_device_current(int device);
/** Threads that torch starts may have no CUDA context yet. */
void make_context_current(int device);

}  // namespace strobe

#endif

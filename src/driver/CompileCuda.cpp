#include "CompileCuda.h"

#include "CompileGeneral.h"
#include "device/Capability.h"
#include "lower/cuda/LowerCuda.h"
#include "lower/simt/LowerSimt.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/Log.h"

#include <chrono>

namespace strobe {

using namespace Halide;

namespace {

/** What has kernels with roles for warps. */
constexpr const char *specialised_architecture = "sm_90a";

/** The machine code, or the PTX where there is no assembler. */
void assemble_package(CudaCompilation &c, const std::string &architecture) {
    const auto start = std::chrono::steady_clock::now();
    std::optional<Assembly> assembly = assemble(c.ptx, architecture);
    if (!assembly) {
        c.package.code = c.ptx;
        c.package.is_ptx = true;
        return;
    }
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << "stage: ptxas " << time.count() << " ms\n";
    c.package.code = std::move(assembly->cubin);
    c.package.is_ptx = false;
    c.kernels = assembly->kernels;
    for (const KernelStatistics &k : c.kernels) {
        if (k.spill_store_bytes + k.spill_load_bytes > 0) {
            c.warnings.push_back(k.entry + " spills registers to memory: " + std::to_string(k.spill_store_bytes) +
                                 " bytes stored, " + std::to_string(k.spill_load_bytes) +
                                 " loaded; a smaller stream tile or more registers (warps) may help");
        }
    }
    c.warnings.insert(c.warnings.end(), assembly->warnings.begin(), assembly->warnings.end());
}

}  // namespace

std::string CudaCompilation::statistics() const {
    std::ostringstream text;
    for (const KernelStatistics &k : kernels) {
        text << k.entry << ": " << k.registers << " registers at launch, " << k.barriers << " named barriers, "
             << k.spill_store_bytes + k.spill_load_bytes << " bytes spilled\n";
    }
    if (kernels.empty()) {
        text << "no ptxas: the driver will assemble " << ptx.size() << " bytes of PTX\n";
    }
    for (const std::string &w : warnings) {
        text << "warning: " << w << "\n";
    }
    return text.str();
}

namespace {

CudaCandidate candidate_of(const Compilation &stages, const std::string &name) {
    CudaCandidate candidate{stages.program, stages.choices, to_string(stages.schedule)};
    if (!name.empty()) {
        candidate.program.name = name;
    }
    return candidate;
}

/** The first line of an error, without the words that only an error needs. */
std::string reason_of(const UserError &error) {
    std::string text = error.what();
    for (char &c : text) {
        c = c == '\n' ? ' ' : c;
    }
    return text;
}

}  // namespace

CudaCompilation compile_cuda(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule,
                             const std::string &name) {
    const Capability machine = capability_of(target);
    CudaCompilation c;
    bool done = false;
    if (machine.name == specialised_architecture && !asks_for_general(schedule)) {
        try {
            c.stages = compile(outputs, target, schedule);
            const auto start = std::chrono::steady_clock::now();
            c.package = lower_cuda({candidate_of(c.stages, name)});
            const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
            strobe_debug(1) << "stage: lower to PTX " << time.count() << " ms\n";
            done = true;
        } catch (const UserError &error) {
            if (asks_for_warp_roles(schedule)) {
                throw;
            }
            c.general_because = reason_of(error);
        }
    } else if (!asks_for_general(schedule)) {
        c.general_because =
            "kernels with roles for warps exist for " + std::string(specialised_architecture) + " alone";
    }
    c.general = !done;
    if (c.general) {
        c.stages = compile_general(outputs, machine, schedule);
        c.package = lower_simt(candidate_of(c.stages, name), machine.name, machine.shared_bytes_per_block);
        if (!c.general_because.empty()) {
            c.warnings.push_back("the general kernel is used, which is slower: " + c.general_because);
        }
    }
    c.ptx = c.package.code;
    assemble_package(c, machine.name);
    return c;
}

}  // namespace strobe

#ifndef STROBE_DEVICE_ASSEMBLE_H
#define STROBE_DEVICE_ASSEMBLE_H

/** \file
 * Turns PTX into machine code with ptxas, and reads what ptxas says of it. */

#include <optional>
#include <string>
#include <vector>

namespace strobe {

/** What ptxas reports of one kernel. */
struct KernelStatistics {
    std::string entry;
    int registers = 0, barriers = 0;
    int stack_bytes = 0, spill_store_bytes = 0, spill_load_bytes = 0;
    int shared_bytes = 0;  // static
};

struct Assembly {
    std::string cubin;
    std::vector<KernelStatistics> kernels;  // in the order of ptxas' report
    std::vector<std::string> warnings;      // warnings and performance advisories, a line each
    std::string log;                        // everything that ptxas printed

    /** True if ptxas had to serialise wgmma instructions (advisories such as C7510): each then waits for the one before
     * it. */
    bool wgmma_serialized() const;
    bool spills() const;
};

/** The ptxas that assemble() runs: the environment's STROBE_PTXAS, else the first on
 * PATH, in /usr/local/cuda, in the newest /usr/local/cuda-*, or where the build found one. An empty STROBE_PTXAS
 * means to do without. Throws RuntimeFailure if STROBE_PTXAS names no program. */
std::optional<std::string> find_ptxas();

/** \p side_by_side: the kernels of the text by several threads of ptxas.
 * Assembles PTX text for an architecture such as "sm_90a". Nullopt if there is no
 * ptxas: then the PTX is embedded, and the driver assembles it. Throws RuntimeFailure with ptxas' messages
 * and the lines they are about if it refuses the text. Needs no shell; its files live in a private directory that
 * is removed at the end. */
std::optional<Assembly> assemble(const std::string &ptx, const std::string &architecture,
                                bool side_by_side = false);

}  // namespace strobe

#endif

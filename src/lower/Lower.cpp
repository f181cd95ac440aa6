#include "Lower.h"

#include "support/Log.h"

#include <chrono>

namespace strobe {

using namespace Halide::Internal;

const std::vector<LowerPass> &cpu_passes() {
    static const std::vector<LowerPass> passes = {
        {"uniquify names", [](const Stmt &s) { return uniquify_variable_names(s); }},
        {"bind buffers", [](const Stmt &s) { return unpack_buffers(s); }},
        {"simplify", [](const Stmt &s) { return simplify(s); }},
        {"vectorize loops", [](const Stmt &s) { return vectorize_loops(s, {}); }},
        {"simplify vectors", [](const Stmt &s) { return simplify(s); }},
        {"hoist loop invariants", [](const Stmt &s) { return hoist_loop_invariant_values(s); }},
        {"flatten nested ramps", [](const Stmt &s) { return flatten_nested_ramps(s); }},
        {"find intrinsics", [](const Stmt &s) { return find_intrinsics(s); }},
    };
    return passes;
}

Stmt run_lower_passes(const std::vector<LowerPass> &passes, const Stmt &s) {
    Stmt current = s;
    for (const LowerPass &pass : passes) {
        const auto start = std::chrono::steady_clock::now();
        Stmt next = pass.run(current);
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        strobe_debug(1) << "lower: " << pass.name << " " << time.count() << " ms\n";
        if (!next.same_as(current)) {
            strobe_debug(2) << "after " << pass.name << ":\n"
                            << next << "\n";
        }
        current = next;
    }
    return current;
}

}  // namespace strobe

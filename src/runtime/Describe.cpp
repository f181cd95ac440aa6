#include "Describe.h"

#include <cstdio>

#include "runtime/Arguments.h"

namespace strobe {

namespace {

std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (u < 0x20 || u == 0x7f) {
            char escape[8];
            snprintf(escape, sizeof(escape), "\\u%04x", u);
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string number(double x) {
    char text[40];
    snprintf(text, sizeof(text), "%.17g", x);
    return text;
}

std::string flag(bool x) {
    return x ? "true" : "false";
}

template<typename T, typename F>
std::string list(const std::vector<T> &elements, F describe) {
    std::string out = "[";
    for (const T &element : elements) {
        out += (out.size() > 1 ? ", " : "") + describe(element);
    }
    return out + "]";
}

std::string describe_buffer(const BufferSpec &buffer) {
    return "{\"name\": " + quoted(buffer.name) + ", \"type\": " + quoted(name_of(buffer.type)) +
           ", \"rank\": " + std::to_string(buffer.rank) + ", \"output\": " + flag(buffer.output) + "}";
}

std::string describe_scalar(const ScalarSpec &scalar) {
    std::string out = "{\"name\": " + quoted(scalar.name) + ", \"type\": " + quoted(name_of(scalar.type));
    // JSON has no infinities; an infinite bound is no bound.
    if (scalar.has_min && scalar.min - scalar.min == 0) {
        out += ", \"min\": " + number(scalar.min);
    }
    if (scalar.has_max && scalar.max - scalar.max == 0) {
        out += ", \"max\": " + number(scalar.max);
    }
    return out + "}";
}

std::string describe_count(const KernelPackage &package, const Count &count) {
    std::string out;
    for (const CountTerm &term : count) {
        out += out.empty() ? "" : " * ";
        if (term.buffer < 0) {
            out += std::to_string(term.divisor);
            continue;
        }
        const std::string extent = package.buffers[term.buffer].name + ".extent(" + std::to_string(term.dim) + ")";
        out += term.divisor == 1 ? extent : "ceil(" + extent + " / " + std::to_string(term.divisor) + ")";
    }
    return quoted(out.empty() ? "1" : out);
}

std::string describe_plan(const KernelPackage &package, const LaunchPlan &plan) {
    const auto kernel = [&](const KernelSpec &k) {
        return "{\"entry\": " + quoted(k.entry) + ", \"threads\": " + std::to_string(k.threads) +
               ", \"shared_bytes\": " + std::to_string(k.shared_bytes) +
               ", \"work\": " + describe_count(package, k.work) + ", \"persistent\": " + flag(k.persistent) +
               ", \"blocks_per_sm\": " + std::to_string(k.blocks_per_sm) +
               ", \"overlaps\": " + flag(k.overlaps) + "}";
    };
    const auto map = [&](const TensorMapSpec &m) {
        return "{\"buffer\": " + quoted(package.buffers[m.buffer].name) +
               ", \"box\": " + list(m.box, [](uint32_t x) { return std::to_string(x); }) +
               ", \"swizzle_bytes\": " + std::to_string(m.swizzle_bytes) + "}";
    };
    const auto workspace = [&](const WorkspaceSpec &w) {
        return "{\"elements\": " + describe_count(package, w.elements) +
               ", \"element_bytes\": " + std::to_string(w.element_bytes) + ", \"zeroed\": " + flag(w.zeroed) + "}";
    };
    return "{\"schedule\": " + quoted(plan.schedule) + ", \"query_tile\": " + std::to_string(plan.query_tile) +
           ", \"cost_per_unit\": " + number(plan.cost_per_unit) + ", \"cost_per_step\": " + number(plan.cost_per_step) +
           ", \"steps\": " + describe_count(package, plan.steps) +
           ", \"counted_kernel\": " + std::to_string(plan.counted_kernel) + ", \"kernels\": " + list(plan.kernels, kernel) +
           ", \"tensor_maps\": " + list(plan.tensor_maps, map) +
           ", \"workspaces\": " + list(plan.workspaces, workspace) + "}";
}

}  // namespace

std::string describe_package(const KernelPackage &package) {
    const auto pair = [&](const EqualExtents &e) {
        return "[" + quoted(package.buffers[e.buffer_a].name) + ", " + std::to_string(e.dim_a) + ", " +
               quoted(package.buffers[e.buffer_b].name) + ", " + std::to_string(e.dim_b) + "]";
    };
    const auto fixed = [&](const FixedExtent &e) {
        return "[" + quoted(package.buffers[e.buffer].name) + ", " + std::to_string(e.dim) + ", " +
               std::to_string(e.extent) + ", " + quoted(e.at_least ? "at least" : "exactly") + "]";
    };
    return "{\"name\": " + quoted(package.name) + ", \"architecture\": " + quoted(package.architecture) +
           ", \"code\": " + quoted(package.is_ptx ? "ptx" : "cubin") +
           ", \"code_bytes\": " + std::to_string(package.code.size()) +
           ", \"buffers\": " + list(package.buffers, describe_buffer) +
           ", \"scalars\": " + list(package.scalars, describe_scalar) +
           ", \"equal_extents\": " + list(package.equal_extents, pair) +
           ", \"fixed_extents\": " + list(package.fixed_extents, fixed) +
           ", \"plans\": " + list(package.plans, [&](const LaunchPlan &plan) { return describe_plan(package, plan); }) +
           "}";
}

}  // namespace strobe

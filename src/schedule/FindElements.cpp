#include "WorkloadBuilder.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

int WorkloadBuilder::element_loads(const Pass &pass) const {
    Uses uses;
    for (const Pivot &pivot : pass.pivots) {
        uses.add(pivot.exponent);
    }
    for (const Moment &m : pass.moments) {
        uses.add(m.factor);
        uses.add(m.around.value);
    }
    std::vector<Expr> found;
    for (const Call *load : uses.loads) {
        const std::vector<std::string> used = axes_of(graph, Expr(load));
        if (contains(used, plan.roles.query) && contains(used, plan.roles.stream) &&
            std::none_of(found.begin(), found.end(), [&](const Expr &f) { return graph_equal(f, Expr(load)); })) {
            found.push_back(load);
        }
    }
    return (int)found.size();
}

bool WorkloadBuilder::is_axis(const Expr &index, const std::string &axis) const {
    const std::vector<std::string> used = axes_of(graph, index);
    return index.as<Variable>() && used.size() == 1 && used[0] == axis;
}

void WorkloadBuilder::add_elements(const Expr &e, const std::string &axis, const std::string &result) {
    for (const Call *load : Uses(e).loads) {
        const int rank = (int)load->args.size();
        if (!load->type.is_float() || load->type.bits() != 16 || rank < 2 || rank > 5 ||
            !is_axis(load->args[0], axis)) {
            continue;
        }
        int rows = 0, others = 0;
        for (int d = 1; d < rank; d++) {
            const std::vector<std::string> used = axes_of(graph, load->args[d]);
            rows += is_axis(load->args[d], plan.roles.query);
            others += std::all_of(used.begin(), used.end(),
                                  [&](const std::string &a) { return contains(plan.roles.batch, a); });
        }
        const auto known = std::find_if(work.elements.begin(), work.elements.end(), [&](const ElementInput &other) {
            return graph_equal(other.load, Expr(load));
        });
        if (known != work.elements.end()) {
            known->result = known->result == result ? result : "";
        } else if (rows == 1 && others == rank - 2) {
            work.elements.push_back({load->name, Expr(load), axis == plan.roles.stream,
                                     known_size(graph, axis, work.sizes), result});
        }
    }
}

void WorkloadBuilder::add_elements(const Pass &pass) {
    for (const Pivot &pivot : pass.pivots) {
        add_elements(pivot.exponent, plan.roles.stream);
    }
    for (const Moment &m : pass.moments) {
        if (m.factor.defined()) {
            add_elements(m.factor, plan.roles.stream);
        }
    }
}

void WorkloadBuilder::add_result(const Output &o) {
    for (const std::string &a : o.axes) {
        if (!is_row_axis(a)) {
            add_elements(o.value, a, o.name);
        }
    }
    ResultTile r{o.name, o.type, 1};
    bool columns = false;
    for (const std::string &a : o.axes) {
        if (is_row_axis(a)) {
            continue;
        }
        columns = true;
        std::optional<int64_t> size = known_size(graph, a, work.sizes);
        r.width = r.width && size ? std::optional<int64_t>(*r.width * *size) : std::nullopt;
    }
    if (columns) {
        work.results.push_back(r);
    }
}

}  // namespace strobe

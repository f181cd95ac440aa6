#include "Expressions.h"
#include "Plan.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

Expr Pivot::ref() const {
    return Variable::make(exponent.type(), name);
}

Expr Moment::ref() const {
    return Variable::make(type, name);
}

Expr Around::mean(const Expr &weight, const Expr &weighted) const {
    return divided(weighted, weight, true);
}

namespace {

std::string list(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &n : names) {
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

void print(std::ostream &stream, const Pass &pass) {
    for (const Pivot &p : pass.pivots) {
        const bool constant = p.policy == Pivot::Policy::Constant;
        stream << "  pivot " << p.name << " = " << (constant ? text_of(p.constant) : "running max") << " of "
               << text_of(p.exponent);
        if (p.guard.defined()) {
            stream << " where " << text_of(p.guard);
        }
        stream << "\n";
    }
    for (const Selection &s : pass.selections) {
        stream << "  selection " << s.name << " = the " << s.count << (s.greatest ? " greatest" : " least") << " of "
               << text_of(s.key) << (s.guard.defined() ? " where " + text_of(s.guard) : "") << "\n";
    }
    for (const Moment &m : pass.moments) {
        if (m.selection >= 0) {
            stream << "  moment " << m.name << "[" << list(m.axes) << "] = " << text_of(m.factor) << " at rank "
                   << m.rank << " of " << pass.selections[m.selection].name << "\n";
            continue;
        }
        stream << "  moment " << m.name << "[" << list(m.axes) << "] = " << name_of(m.op) << " of ";
        const bool around = m.around.value.defined();
        if (m.factor.defined() || (m.pivot < 0 && !around)) {
            stream << text_of(m.factor) << (m.pivot < 0 && !around ? "" : " * ");
        }
        if (around) {
            stream << "(" << text_of(m.around.value) << " - " << m.around.weighted << "/" << m.around.weight << ")"
                   << (m.degree > 1 ? "^2" : "") << (m.pivot < 0 ? "" : " * ");
        } else if (m.degree > 0) {
            stream << "(" << text_of(pass.pivots[m.pivot].exponent) << " - " << pass.pivots[m.pivot].name << ") * ";
        }
        if (m.pivot >= 0) {
            const Pivot &p = pass.pivots[m.pivot];
            stream << "exp(" << text_of(p.exponent) << " - " << p.name << ")";
        }
        if (m.guard.defined()) {
            stream << " where " << text_of(m.guard);
        }
        stream << "\n";
    }
    for (const Readout &r : pass.readouts) {
        stream << "  readout " << r.name << "[" << list(r.axes) << "] = " << text_of(r.value) << "\n";
    }
    if (pass.mask.guard.defined()) {
        stream << "  mask " << text_of(pass.mask.guard) << "\n";
        stream << "    dead if " << text_of(pass.mask.dead) << "\n    full if " << text_of(pass.mask.full) << "\n";
        for (const Summary &s : pass.mask.summaries) {
            stream << "    summary " << s.name << " of " << text_of(s.load) << " along " << s.axis << "\n";
        }
        if (pass.mask.begin.defined()) {
            stream << "    from " << text_of(pass.mask.begin) << "\n";
        }
        if (pass.mask.end.defined()) {
            stream << "    to " << text_of(pass.mask.end) << "\n";
        }
        if (pass.mask.contiguous) {
            stream << "    without gaps\n";
        }
    }
}

}  // namespace

std::ostream &operator<<(std::ostream &stream, const Plan &plan) {
    const Roles &r = plan.roles;
    stream << "stream " << r.stream << ", query " << r.query << ", batch (" << list(r.batch) << "), features ("
           << list(r.features) << "), inner (" << list(r.inner) << ")\n";
    if (!plan.inner.empty()) {
        stream << "in a tile: " << list(plan.inner) << "\n";
    }
    for (size_t i = 0; i < plan.passes.size(); i++) {
        stream << "pass " << i + 1 << " of " << plan.passes.size() << "\n";
        print(stream, plan.passes[i]);
    }
    for (const Reduction &r : plan.after) {
        stream << "after " << r.ref() << "[" << list(r.axes) << "] = " << name_of(r.op) << " over " << list(r.over)
               << " of " << text_of(r.body) << "\n";
    }
    for (const Output &o : plan.outputs) {
        stream << "output " << o.name << "[" << list(o.axes) << "] = " << text_of(o.value) << "\n";
    }
    for (const Fact &f : plan.facts) {
        stream << f.subject << ": " << f.rule << ": " << f.text << "\n";
    }
    return stream;
}

}  // namespace strobe

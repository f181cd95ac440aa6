#include "Stage.h"

#include "Log.h"

#include <mutex>

namespace strobe {

namespace {

struct Recorded {
    std::mutex mutex;
    bool on = false;
    std::vector<StageTime> times;
};

Recorded &recorded() {
    static Recorded all;
    return all;
}

}  // namespace

Stage::Stage(std::string name) : name(std::move(name)) {
}

Stage::~Stage() {
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << "stage: " << name << " " << time.count() << " ms\n";
    Recorded &r = recorded();
    const std::lock_guard<std::mutex> lock(r.mutex);
    if (r.on) {
        r.times.push_back({name, time.count()});
    }
}

StageReport::StageReport() {
    Recorded &r = recorded();
    const std::lock_guard<std::mutex> lock(r.mutex);
    r.on = true;
    r.times.clear();
}

StageReport::~StageReport() {
    Recorded &r = recorded();
    const std::lock_guard<std::mutex> lock(r.mutex);
    r.on = false;
    r.times.clear();
}

std::vector<StageTime> StageReport::times() const {
    Recorded &r = recorded();
    const std::lock_guard<std::mutex> lock(r.mutex);
    return r.times;
}

}  // namespace strobe

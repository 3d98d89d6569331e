#include "data_check.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include <fcntl.h>
#include <unistd.h>

#include "../core/bitset.h"
#include "../payload/payload.h"
#include "../sparse/sparse_index.h"
#include "../vector/multi_index.h"
#include "../vector/inspect.h"
#include "records.h"
#include "state_file.h"
#include "store_walk.h"

namespace sealpoint {

namespace {

using Kind = Finding::Kind;

std::string hex(std::string_view bytes) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text.push_back(digits[static_cast<uint8_t>(byte) >> 4]);
    text.push_back(digits[static_cast<uint8_t>(byte) & 15]);
  }
  return text;
}

class DataCheck {
 public:
  DataCheck(const std::string& path, bool repair, rocksdb::Env* env) : path_(path), repair_(repair), env_(env) {}
  ~DataCheck() {
    if (moved_ >= 0) ::close(moved_);
  }

  DataReport run() {
    StoreOptions options;
    options.read_only = !repair_;
    options.accept_losses = repair_;
    options.env = env_;
    try {
      store_ = std::make_unique<Store>(path_, options);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDataLoss && error.kind() != ErrorKind::kInternal) throw;
      report_.add({Kind::kLoss, false, "", "", std::string(error.what()) + ". This cannot be repaired: bring the folder back from a backup"});
      return std::move(report_);
    }
    for (const auto& loss : store_->losses()) {
      report_.add({Kind::kLoss, false, "", "", loss + (repair_ ? "; the store goes on without what lay behind" : "")});
    }
    check_files();
    check_meta();
    for (const auto& [cid, record] : collections_) check_collection(record);
    for (auto* family : {store_->points(), store_->payloads(), store_->vectors()}) check_strangers(family);
    check_folders();
    flush();
    if (repair_) rewrite_files();
    return std::move(report_);
  }

 private:
  // The checksums of whole files, and of the tables' blocks for files that are older than those. Empty: all are sound.
  std::string file_damage() {
    rocksdb::ReadOptions options;
    options.readahead_size = 1 << 20;
    for (const auto& status : {store_->db().VerifyFileChecksums(options), store_->db().VerifyChecksum(options)}) {
      if (!status.ok()) return status.ToString();
    }
    return {};
  }

  void check_files() {
    const std::string why = file_damage();
    if (why.empty()) return;
    damaged_file_ = report_.findings.size();
    report_.add({Kind::kLoss, false, "", "", "a file of the store is damaged: " + why});
  }

  // What was damaged may be dead by now, replaced from a segment for instance: written anew, the files are sound again.
  void rewrite_files() {
    store_->flush();
    if (!damaged_file_) return;
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
    options.blob_garbage_collection_age_cutoff = 1.0;
    for (auto* family : {store_->meta(), store_->points(), store_->payloads(), store_->vectors()}) {
      if (!store_->db().CompactRange(options, family, nullptr, nullptr).ok()) return;
    }
    if (!file_damage().empty()) return;
    Finding& finding = report_.findings[*damaged_file_];
    finding.repaired = true;
    finding.text += "; the files were written anew";
  }

  void check_meta() {
    uint32_t next = 0;
    std::map<std::string, std::string> aliases;
    std::unique_ptr<rocksdb::Iterator> it(store_->db().NewIterator({}, store_->meta()));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      const std::string key = it->key().ToString(), value = it->value().ToString();
      try {
        if (key == "n") {
          next = ByteReader(value).u32();
        } else if (key[0] == 'a') {
          aliases.emplace(key.substr(1), value);
        } else if (key[0] == 'c' && key.size() == 5) {
          known_.push_back(cid_of(key.substr(1)));
          CollectionRecord record = CollectionRecord::decode(value);
          if (record.cid != known_.back()) throw Error(ErrorKind::kDataLoss, "it names another collection");
          collections_.emplace(record.cid, std::move(record));
        } else if (key[0] == 'r' && key.size() == 5) {
          // The next start removes what a restore left.
          const uint32_t cid = cid_of(key.substr(1));
          known_.insert(std::lower_bound(known_.begin(), known_.end(), cid), cid);
        } else if (key[0] == 'o' && key.size() == 5) {
          operations_[cid_of(key.substr(1))] = ByteReader(value).u64();
        } else if (key[0] == 'f' && key.size() == 5) {
          states_[cid_of(key.substr(1))] = StateName::decode(value);
        } else if (key[0] == 'g') {
          built_.insert(key.substr(1));
        } else if (key[0] == 's' && key.size() > 5) {
          if (value.size() != 16) report_.add({Kind::kLoss, false, "", "", "the position of a stream cannot be read"});
          streams_.emplace_back(cid_of(key.substr(1, 4)), key);
        }
      } catch (const Error& error) {
        report_.add({Kind::kLoss, false, "", "", "a record (key " + hex(key) + ") cannot be read: " + error.what()});
      }
    }
    if (!it->status().ok()) {
      report_.add({Kind::kLoss, false, "", "", "the collection records cannot be read: " + it->status().ToString()});
      meta_damaged_ = true;
      return;
    }
    for (const auto& [alias, target] : aliases) {
      const bool found = std::any_of(collections_.begin(), collections_.end(), [&](const auto& each) { return each.second.name == target; });
      if (!found) leftover("", "alias `" + alias + "` leads to no collection", store_->meta(), "a" + alias, target);
    }
    for (const auto& [cid, name] : states_) check_state(cid, name);
    for (const auto& [cid, key] : streams_) {
      if (!is_known(cid)) leftover("", "a stream's position belongs to no collection", store_->meta(), key, "");
    }
    if (!known_.empty() && known_.back() >= next) {
      ByteWriter number;
      number.u32(known_.back() + 1);
      fix({Kind::kDerived, false, "", "", "the number of the next collection is too small"}, store_->meta(), "n", number.bytes());
    }
  }

  // A start reads the store when the state file is not to be believed. What repair changes is in none, so it lets none be believed.
  void check_state(uint32_t cid, const StateName& name) {
    const auto found = collections_.find(cid);
    const std::string folder = path_ + "/segments/" + std::to_string(cid);
    for (const StateKind kind : kStateKinds) {
      if (found == collections_.end() || !has_file(name, kind) || read_state(folder, kind, cid, name)) continue;
      const std::string path = state_path("segments/" + std::to_string(cid), kind, name);
      report_.add({Kind::kDerived, repair_, found->second.name, "", path + ": is missing or damaged"});
    }
    if (!repair_) return;
    batch_.Delete(store_->meta(), Store::collection_key('f', cid));
    batch_.DeleteRange(store_->meta(), Store::collection_key('j', cid), Store::collection_key('j', cid + 1));
    remove_states(folder, nullptr);
  }

  void check_collection(const CollectionRecord& record) {
    CheckedCollection counts;
    counts.name = record.name;
    const std::string prefix = Store::cid_prefix(record.cid);
    StoreWalk points(*store_, store_->points(), prefix), payloads(*store_, store_->payloads(), prefix);
    std::vector<std::unique_ptr<StoreWalk>> vectors;
    std::vector<std::unique_ptr<SegmentInspection>> segments;
    for (size_t number = 0; number < record.vectors.size(); ++number) {
      const auto place = static_cast<uint16_t>(number);
      vectors.push_back(std::make_unique<StoreWalk>(*store_, store_->vectors(),
                                                    prefix + static_cast<char>(place >> 8) + static_cast<char>(place)));
      segments.push_back(
          std::make_unique<SegmentInspection>(folder_of(record, number), record.vectors[number].dim, record.vectors[number].distance,
                                              record.vectors[number].datatype, built_.contains(Store::vector_prefix(record.cid, place))));
      counts.segments += segments.back()->segments();
      counts.rows += segments.back()->rows();
    }
    slots_ = Bitset();
    slots_end_ = 0;
    versions_end_ = 0;
    std::vector<Repeated> repeated;
    for (;;) {
      std::string key;
      bool any = false;
      const auto look = [&](const StoreWalk& walk) {
        std::string_view next;
        if (!walk.peek(next) || (any && next >= key)) return;
        key = next;
        any = true;
      };
      look(points);
      look(payloads);
      for (const auto& walk : vectors) look(*walk);
      if (!any) break;
      check_point(record, key, points, payloads, vectors, segments, counts, repeated);
    }
    // The points name what the other families should hold.
    if (!points.why().empty()) {
      report_.add({Kind::kLoss, false, record.name, "", "not every point's record could be read, so some may not be named here: " + points.why()});
    }
    for (auto& [id, point] : repeated) {
      point.slot = slots_end_++;
      fix({Kind::kDerived, false, record.name, id.second, "its slot was another point's too"}, store_->points(), prefix + id.first, point.encode());
    }
    const auto operation = operations_.find(record.cid);
    if (versions_end_ > (operation == operations_.end() ? 0 : operation->second)) {
      ByteWriter last;
      last.u64(versions_end_);
      fix({Kind::kDerived, false, record.name, "", "the number of the last operation is too small"}, store_->meta(),
          Store::collection_key('o', record.cid), last.bytes());
    }
    for (size_t number = 0; number < segments.size(); ++number) {
      const auto& damage = segments[number]->damage();
      const std::string folder = "segments/" + std::to_string(record.cid) + "/" + std::to_string(number) + "/";
      for (const auto& [file, why] : damage) report_.add({Kind::kDerived, repair_, record.name, "", folder + file + ": " + why});
      // What a segment gives back to the store is written before the segment may go.
      flush();
      if (repair_ && !damage.empty()) segments[number]->drop_damaged();
    }
    report_.collections.push_back(std::move(counts));
  }

  using Repeated = std::pair<std::pair<std::string, std::string>, PointRecord>;  // key and id, record

  void check_point(const CollectionRecord& record, const std::string& key, StoreWalk& points, StoreWalk& payloads,
                   std::vector<std::unique_ptr<StoreWalk>>& vectors, std::vector<std::unique_ptr<SegmentInspection>>& segments,
                   CheckedCollection& counts, std::vector<Repeated>& repeated) {
    std::string_view rest = key;
    PointId parsed;
    const bool is_id = PointId::parse_key(rest, parsed) && rest.empty();
    const std::string id = is_id ? id_text(parsed) : "key " + hex(key);
    const std::string prefix = Store::cid_prefix(record.cid);
    const auto lost = [&](const std::string& text) { report_.add({Kind::kLoss, false, record.name, id, text}); };
    std::string bytes, payload;
    const auto at = points.read(key, bytes);
    const auto held = payloads.read(key, payload);
    std::optional<PointRecord> point;
    if (at == StoreWalk::Row::kDamaged) lost("its record cannot be read: " + points.why());
    if (at == StoreWalk::Row::kPresent) {
      try {
        point = PointRecord::decode(bytes);
        if (point->encode() != bytes || !is_id || point->slot >= 0xfffffffe) throw Error(ErrorKind::kDataLoss, "it is malformed");
        ++counts.points;
      } catch (const Error& error) {
        point.reset();
        lost(std::string("its record cannot be read: ") + error.what());
      }
    }
    // Rows that surely have no point; where the record is damaged they are all that is left of it.
    const bool stray = at == StoreWalk::Row::kAbsent;
    if (held == StoreWalk::Row::kDamaged) lost("its payload cannot be read: " + payloads.why());
    if (held == StoreWalk::Row::kPresent && stray) leftover(record.name, "a payload without a point", store_->payloads(), prefix + key, payload, id);
    if (point) check_payload(record, key, id, held, payload, *point);
    for (size_t number = 0; number < vectors.size(); ++number) {
      std::string values;
      const auto row = vectors[number]->read(key, values);
      const std::string name = "`" + record.vectors[number].name + "`";
      const std::string row_key = prefix + static_cast<char>(number >> 8) + static_cast<char>(number) + key;
      const std::pair<uint16_t, uint64_t>* listed = nullptr;
      if (point) {
        for (const auto& each : point->vectors) listed = each.first == number ? &each : listed;
      }
      if (listed == nullptr) {
        const bool belongs_nowhere = row == StoreWalk::Row::kPresent && (stray || point);
        if (belongs_nowhere) leftover(record.name, "a vector " + name + " that its point does not have", store_->vectors(), row_key, values, id);
        if (row == StoreWalk::Row::kDamaged) lost("its vector " + name + " cannot be read: " + vectors[number]->why());
        continue;
      }
      // Points are not rewritten when a name goes.
      if (record.vectors[number].removed) continue;
      ++counts.vectors;
      const VectorField& field = record.vectors[number];
      if (field.sparse || field.multi) {
        // No segment has a copy.
        const bool whole = row == StoreWalk::Row::kPresent && (field.sparse ? is_sparse_row(values) : is_multi_row(values, field.stored_bytes()));
        if (!whole) lost("its vector " + name + (row == StoreWalk::Row::kAbsent ? " is missing" : " cannot be read"));
        continue;
      }
      const size_t size = field.stored_bytes();
      const uint8_t* copy = segments[number]->find(point->slot, listed->second);
      if (row == StoreWalk::Row::kPresent && values.size() == size) {
        if (copy != nullptr && std::memcmp(copy, values.data(), size) != 0) segments[number]->blame(point->slot, listed->second);
        continue;
      }
      const std::string why = row == StoreWalk::Row::kAbsent    ? "is missing"
                              : row == StoreWalk::Row::kDamaged ? "cannot be read: " + vectors[number]->why()
                                                                : "has " + std::to_string(values.size()) + " bytes, not " + std::to_string(size);
      if (copy == nullptr) {
        lost("its vector " + name + " " + why);
      } else {
        fix({Kind::kDerived, false, record.name, id, "its vector " + name + " " + why + " in the store; a segment holds it"}, store_->vectors(), row_key,
            {reinterpret_cast<const char*>(copy), size});
      }
    }
    if (!point) return;
    for (const auto& [number, version] : point->vectors) {
      if (number >= vectors.size()) lost("it names vector number " + std::to_string(number) + ", which its collection lacks");
      versions_end_ = std::max(versions_end_, version);
    }
    versions_end_ = std::max(versions_end_, point->version);
    slots_end_ = std::max(slots_end_, point->slot + 1);
    if (slots_.test(point->slot)) {
      repeated.push_back({{key, id}, *point});
    } else {
      slots_.set(point->slot);
    }
  }

  void check_payload(const CollectionRecord& record, const std::string& key, const std::string& id, StoreWalk::Row held, const std::string& payload,
                     PointRecord& point) {
    if (held == StoreWalk::Row::kAbsent) report_.add({Kind::kLoss, false, record.name, id, "its payload is missing"});
    if (held != StoreWalk::Row::kPresent) return;
    try {
      payload::check(payload, {});
      if (payload::is_sealed(payload) == point.sealed) return;
      point.sealed = !point.sealed;
      fix({Kind::kDerived, false, record.name, id, "its record and its payload differ in whether it is sealed"}, store_->points(),
          Store::cid_prefix(record.cid) + key, point.encode());
    } catch (const Error& error) {
      report_.add({Kind::kLoss, false, record.name, id, std::string("its payload is malformed: ") + error.what()});
    }
  }

  // Rows of collections, or of vectors, that do not exist.
  void check_strangers(rocksdb::ColumnFamilyHandle* family) {
    rocksdb::ReadOptions options;
    options.total_order_seek = true;
    options.fill_cache = false;
    std::unique_ptr<rocksdb::Iterator> it(store_->db().NewIterator(options, family));
    it->SeekToFirst();
    while (it->Valid()) {
      const std::string key = it->key().ToString();
      const uint32_t cid = key.size() < 4 ? 0 : cid_of(key);
      const auto found = collections_.find(cid);
      uint16_t vectors = 0xffff;
      if (key.size() >= 4 && family == store_->vectors() && found != collections_.end()) vectors = static_cast<uint16_t>(found->second.vectors.size());
      const bool mine = is_known(cid);
      if (mine && vectors == 0xffff) {
        it->Seek(Store::cid_prefix(cid + 1));
        continue;
      }
      const uint16_t number = key.size() < 6 ? 0xffff : static_cast<uint16_t>(static_cast<uint8_t>(key[4]) << 8 | static_cast<uint8_t>(key[5]));
      if (mine && number < vectors) {
        it->Seek(Store::cid_prefix(cid) + static_cast<char>(vectors >> 8) + static_cast<char>(vectors));
        continue;
      }
      leftover(mine ? found->second.name : "", mine ? "a vector of no field" : "a row of collection number " + std::to_string(cid) + ", which does not exist",
               family, key, it->value().ToString());
      it->Next();
    }
    if (!it->status().ok()) report_.add({Kind::kLoss, false, "", "", "a part of the store cannot be read: " + it->status().ToString()});
  }

  void check_folders() {
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(path_ + "/segments", failure)) {
      const std::string name = entry.path().filename().string();
      const bool mine = meta_damaged_ || std::any_of(known_.begin(), known_.end(), [&](uint32_t cid) { return std::to_string(cid) == name; });
      if (mine) continue;
      std::error_code error;
      const bool gone = repair_ && (std::filesystem::remove_all(entry.path(), error), !error);
      report_.add({Kind::kDerived, gone, "", "", "segments/" + name + " belongs to no collection"});
    }
  }

  // Repair writes `value`, verify only tells.
  void fix(Finding finding, rocksdb::ColumnFamilyHandle* family, const std::string& key, rocksdb::Slice value) {
    if (repair_) {
      batch_.Put(family, key, value);
      finding.repaired = true;
      flush_some();
    }
    report_.add(std::move(finding));
  }

  // Repair writes the row to a file, then takes it out of the store.
  void leftover(const std::string& collection, const std::string& text, rocksdb::ColumnFamilyHandle* family, const std::string& key,
                const std::string& value, const std::string& id = "") {
    // While records cannot be read, nobody knows what belongs to nothing.
    const bool move = repair_ && !meta_damaged_;
    if (move) {
      if (moved_ < 0) {
        report_.moved_to = path_ + "/leftovers-" + std::to_string(::getpid()) + "-" + std::to_string(::time(nullptr)) + ".jsonl";
        moved_ = ::open(report_.moved_to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (moved_ < 0) throw Error(ErrorKind::kUnavailable, "cannot make " + report_.moved_to + ": " + std::strerror(errno));
      }
      lines_ += "{\"family\":\"" + family->GetName() + "\",\"key\":\"" + hex(key) + "\",\"value\":\"" + hex(value) + "\"}\n";
      batch_.Delete(family, key);
      flush_some();
    }
    report_.add({Kind::kLeftover, move, collection, id, text});
  }

  void flush_some() {
    if (batch_.GetDataSize() + lines_.size() > (4u << 20)) flush();
  }
  void flush() {
    if (!repair_ || batch_.Count() == 0) return;
    for (size_t at = 0; at < lines_.size();) {
      const ssize_t written = ::write(moved_, lines_.data() + at, lines_.size() - at);
      if (written < 0) throw Error(ErrorKind::kUnavailable, "cannot write " + report_.moved_to + ": " + std::strerror(errno));
      at += static_cast<size_t>(written);
    }
    if (!lines_.empty() && ::fsync(moved_) != 0) throw Error(ErrorKind::kUnavailable, "cannot sync " + report_.moved_to);
    if (!lines_.empty()) sync_folder(path_);
    lines_.clear();
    store_->write(batch_);
    store_->sync();
    batch_.Clear();
  }

  std::string folder_of(const CollectionRecord& record, size_t vector) const {
    return path_ + "/segments/" + std::to_string(record.cid) + "/" + std::to_string(vector);
  }
  bool is_known(uint32_t cid) const { return meta_damaged_ || std::find(known_.begin(), known_.end(), cid) != known_.end(); }
  static uint32_t cid_of(const std::string& key) {
    uint32_t cid = 0;
    for (size_t i = 0; i < 4; ++i) cid = cid << 8 | static_cast<uint8_t>(key[i]);
    return cid;
  }

  const std::string path_;
  const bool repair_;
  rocksdb::Env* const env_;
  std::unique_ptr<Store> store_;
  DataReport report_;
  std::optional<size_t> damaged_file_;  // place of that finding
  bool meta_damaged_ = false;
  std::set<std::string> built_;  // collection and vector, as keys begin, whose manifest is to be there
  std::vector<uint32_t> known_;  // ascending; also those whose record cannot be read
  std::map<uint32_t, CollectionRecord> collections_;
  std::map<uint32_t, uint64_t> operations_;
  std::map<uint32_t, StateName> states_;
  std::vector<std::pair<uint32_t, std::string>> streams_;
  Bitset slots_;
  uint32_t slots_end_ = 0;
  uint64_t versions_end_ = 0;
  rocksdb::WriteBatch batch_;
  std::string lines_;
  int moved_ = -1;
};

}  // namespace

std::string DataReport::encode() const {
  ByteWriter out;
  out.u32(static_cast<uint32_t>(collections.size()));
  for (const auto& each : collections) {
    out.text(each.name);
    out.u64(each.points);
    out.u64(each.vectors);
    out.u64(each.segments);
    out.u64(each.rows);
  }
  out.u32(static_cast<uint32_t>(findings.size()));
  for (const auto& finding : findings) {
    out.u8(static_cast<uint8_t>(finding.kind));
    out.u8(finding.repaired ? 1 : 0);
    out.text(finding.collection);
    out.text(finding.point);
    out.text(finding.text);
  }
  out.u64(more);
  out.text(moved_to);
  return std::move(out.bytes());
}

DataReport check_data(const std::string& path, bool repair, rocksdb::Env* env) {
  std::error_code failure;
  if (!std::filesystem::is_directory(path + "/store", failure)) throw Error(ErrorKind::kNotFound, "there is no store in " + path);
  return DataCheck(path, repair, env).run();
}

}  // namespace sealpoint

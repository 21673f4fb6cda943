<?php
// php publish.php TOPIC EVENT DATA [KEY]: publishes JSON once, however
// often it has to try.

function publish(string $topic, string $event, mixed $data, string $key)
{
    $body = json_encode([
        'topic' => $topic,
        'event' => $event,
        'data' => $data,
        'idempotency_key' => $key,
    ], JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION);
    $curl = curl_init(getenv('FANFARE_URL') . '/publish');
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => [
            'Authorization: Bearer ' . getenv('FANFARE_API_KEY'),
            'Content-Type: application/json',
        ],
        CURLOPT_TIMEOUT => 5,
        CURLOPT_RETURNTRANSFER => true,
    ]);
    foreach ([1, 2, 4, 8, 0] as $wait) {
        $text = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        $answer = json_decode((string) $text);
        if ($text !== false && $status === 200) {
            return $answer;
        }
        $failure = curl_error($curl)
            ?: "$status $answer?->code: " . ($answer?->detail ?? $text);
        if ($text !== false && $status < 500 && $status !== 429) {
            break;  // it would be refused again
        }
        sleep($wait);
    }
    throw new RuntimeException($failure);
}

try {
    $data = json_decode($argv[3], flags: JSON_THROW_ON_ERROR);
    $key = $argv[4] ?? bin2hex(random_bytes(16));
    echo json_encode(publish($argv[1], $argv[2], $data, $key)), "\n";
} catch (Exception $e) {
    fwrite(STDERR, "publish: {$e->getMessage()}\n");
    exit(1);
}

export default function NotFound() {
  return <><h1>Not here</h1><p className="soft">There is no such page, or it is not yours to see.</p></>
}
